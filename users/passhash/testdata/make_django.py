"""Makes django-5.2.json: password hashes of a real Django.

    python3 -m venv venv
    venv/bin/pip install Django==5.2.19 argon2-cffi==25.1.0 argon2-cffi-bindings==26.2.0 bcrypt==4.3.0
    venv/bin/python make_django.py > django-5.2.json

bcrypt 4.3.0 and not 5: since 5.0.0 it raises ValueError for more than 72 bytes,
where every version before it, and so most stored hashes, ignored the rest.

Each entry: the version of Django, the class of the hasher, a password, its hash,
a password that Django refuses for it ("wrong") and, where bcrypt ignores the end
of a password, another that Django takes for it ("also").
"""

import json
import sys
import unicodedata

import django
from django.conf import settings

HASHERS = [
    "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher",
    "BCryptSHA256PasswordHasher", "BCryptPasswordHasher", "ScryptPasswordHasher",
]
settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + h for h in HASHERS])

import argon2  # noqa: E402
from django.contrib.auth import hashers  # noqa: E402


class Argon2i(hashers.Argon2PasswordHasher):
    """What Django before 3.2 wrote."""

    def params(self):
        params = super().params()
        params.type = argon2.low_level.Type.I
        return params


def cheap(base, **attributes):
    return type(base.__name__, (base,), attributes)()


# (name in the data, hasher at its default cost, cheap hashers of other costs)
FAMILIES = [
    ("PBKDF2PasswordHasher", hashers.PBKDF2PasswordHasher(),
     [cheap(hashers.PBKDF2PasswordHasher, iterations=i) for i in (1, 1000)]),
    ("PBKDF2SHA1PasswordHasher", hashers.PBKDF2SHA1PasswordHasher(),
     [cheap(hashers.PBKDF2SHA1PasswordHasher, iterations=i) for i in (1, 1000)]),
    ("Argon2PasswordHasher", hashers.Argon2PasswordHasher(),
     [cheap(hashers.Argon2PasswordHasher, memory_cost=m, time_cost=t, parallelism=p)
      for m, t, p in ((8, 1, 1), (100, 3, 2), (512, 2, 8))]),
    ("Argon2PasswordHasher, argon2i", None,
     [cheap(Argon2i, memory_cost=m, time_cost=t, parallelism=p) for m, t, p in ((512, 2, 2), (100, 1, 4))]),
    ("BCryptSHA256PasswordHasher", hashers.BCryptSHA256PasswordHasher(), [cheap(hashers.BCryptSHA256PasswordHasher, rounds=4)]),
    ("BCryptPasswordHasher", hashers.BCryptPasswordHasher(), [cheap(hashers.BCryptPasswordHasher, rounds=4)]),
    ("ScryptPasswordHasher", hashers.ScryptPasswordHasher(),
     [cheap(hashers.ScryptPasswordHasher, work_factor=n, block_size=r, parallelism=p)
      for n, r, p in ((2, 1, 1), (256, 8, 1), (64, 4, 3))]),
]

NFC = unicodedata.normalize("NFC", "Zoë naïve Ångström パスワード 각")
NFD = unicodedata.normalize("NFD", NFC)
ASCII72 = "".join(chr(33 + i) for i in range(72))

# (password, wrong)
PASSWORDS = [
    ("correct horse battery staple", "correct horse battery stapler"),
    ("p", "P"),
    ("$%:!{}'\"\\/", "$%:!{}'\"\\"),
    (NFC, NFC.replace("ë", "e")),
    (NFD, NFC),
    ("пароль 密码 🔑👩‍💻", "пароль 密码 🔑👩💻"),
    ("ﬁne № ½ ｗｉｄｅ", unicodedata.normalize("NFKC", "ﬁne № ½ ｗｉｄｅ")),
    ("  led and trailed  ", "led and trailed"),
    ("tab\tand\nline end\n", "tab\tand\nline end"),
    ("0123456789abcdef" * 64, "0123456789abcdeF" * 64),  # 1024 bytes
]

# About byte 72, where bcrypt stops; the password that differs only after it.
LONG = [
    (ASCII72[:71], ASCII72[:70] + "x", None),
    (ASCII72, ASCII72[:71] + "x", None),
    (ASCII72[:71], ASCII72, None),
    (ASCII72 + "a", ASCII72[:71] + "xa", ASCII72 + "b"),
    (ASCII72 + "a", ASCII72[:71] + "xa", ASCII72),
    ("é" * 36 + "tail", "é" * 35 + "è" + "tail", "é" * 36 + "other"),
    ("a" + "é" * 40, "b" + "é" * 40, "a" + "é" * 35 + "è" * 5),  # é and è begin with the same byte
]


def entry(name, hasher, password, wrong, also=None):
    encoded = hasher.encode(password, hasher.salt())
    assert hashers.check_password(password, encoded), (name, password)
    assert not hashers.check_password(wrong, encoded), (name, wrong)
    made = {"django": django.get_version(), "hasher": name, "password": password, "encoded": encoded, "wrong": wrong}
    if also is not None:
        assert hashers.check_password(also, encoded), (name, also)
        made["also"] = also
    return made


def entries():
    for name, default, others in FAMILIES:
        if default:
            yield entry(name, default, *PASSWORDS[0])
        for i, (password, wrong) in enumerate(PASSWORDS):
            yield entry(name, others[i % len(others)], password, wrong)
        for i, (password, wrong, also) in enumerate(LONG):
            hasher = others[i % len(others)]
            if also and name != "BCryptPasswordHasher":
                yield entry(name, hasher, password, also)
            else:
                yield entry(name, hasher, password, wrong, also)


json.dump(list(entries()), sys.stdout, ensure_ascii=True, indent=1)
print()
