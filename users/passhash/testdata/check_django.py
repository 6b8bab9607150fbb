"""Asks a real Django. On stdin {"password", "wrong", "encoded": [...]}, on stdout
for each hash whether its check_password takes the one and the other, and a fresh
hash of the password by each of its hashers."""

import json
import sys

from django.conf import settings

HASHERS = [
    "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher",
    "BCryptSHA256PasswordHasher", "BCryptPasswordHasher", "ScryptPasswordHasher",
]
settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + h for h in HASHERS])

from django.contrib.auth import hashers  # noqa: E402

ask = json.load(sys.stdin)
json.dump({
    "taken": [hashers.check_password(ask["password"], e) for e in ask["encoded"]],
    "wrong": [hashers.check_password(ask["wrong"], e) for e in ask["encoded"]],
    "fresh": [hashers.make_password(ask["password"], hasher=h.algorithm) for h in hashers.get_hashers()],
}, sys.stdout)
