package blocklist

import "testing"

func TestContains(t *testing.T) {
	for _, common := range []string{"password", "12345678", "iloveyou", "qwerty123456789", "1q2w3e4r5t6y7u8i", "manchesterunited"} {
		if !Contains(common) {
			t.Errorf("%q is not in the list", common)
		}
	}
	for _, other := range []string{"", "secret", "Password", "password ", "correct horse battery staple"} {
		if Contains(other) {
			t.Errorf("%q is in the list", other)
		}
	}
	if n := len(entries()); n < 8000 {
		t.Errorf("the list has %d entries", n)
	}
}
