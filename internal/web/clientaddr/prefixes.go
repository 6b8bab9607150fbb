package clientaddr

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefixes reads networks ("10.0.0.0/8") and single addresses ("192.0.2.1").
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	var p netip.Prefix
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return p, fmt.Errorf("%.100q has a zone; zones are not compared, write %s", text, a.WithZone(""))
		}
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(text); err != nil {
		return p, fmt.Errorf("%.100q is neither an address like 192.0.2.1 nor a network like 10.0.0.0/8", text)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q is an address in the network %s; write which of the two is meant", text, p.Masked())
	}
	return unmap(p, text)
}

// unmap turns a network of IPv4-mapped addresses into that of the IPv4 ones, since
// clients are compared as such.
func unmap(p netip.Prefix, text string) (netip.Prefix, error) {
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case !p.IsValid():
		return p, fmt.Errorf("%q has more than IPv4-mapped addresses; write IPv4 and IPv6 networks apart", text)
	case p.Bits() == 0:
		return p, fmt.Errorf("%q trusts everyone, so that each client could choose its address", text)
	}
	return p, nil
}
