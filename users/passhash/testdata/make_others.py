"""Makes others.json: password hashes of passlib and argon2-cffi, and PHC strings of
PBKDF2 over the hashlib of Python.

    python3 -m venv venv
    venv/bin/pip install passlib==1.7.4 argon2-cffi==25.1.0 argon2-cffi-bindings==26.2.0 bcrypt==4.3.0
    venv/bin/python make_others.py > others.json

passlib 1.7.4 does not work with bcrypt 5. Entries as in make_django.py, with
"writer" in place of "django".
"""

import base64
import hashlib
import importlib.metadata
import json
import logging
import os
import sys
import unicodedata

import argon2
import bcrypt
import passlib
from passlib.hash import argon2 as passlib_argon2
from passlib.hash import bcrypt as passlib_bcrypt
from passlib.hash import pbkdf2_sha1, pbkdf2_sha256
from passlib.hash import scrypt as passlib_scrypt

logging.getLogger("passlib").setLevel(logging.ERROR)  # it looks for bcrypt.__about__

NFC = unicodedata.normalize("NFC", "Zoë naïve Ångström パスワード 각")
PASSWORDS = [
    ("correct horse battery staple", "correct horse battery stapler"),
    (NFC, NFC.replace("ë", "e")),
    (unicodedata.normalize("NFD", NFC), NFC),
    ("  led and trailed  ", "led and trailed"),
    ("0123456789abcdef" * 64, "0123456789abcdeF" * 64),
]


class Phc:
    """$pbkdf2-sha256$i=1000[,l=32]$salt$key, in unpadded base64."""

    def __init__(self, digest, size, length):
        self.digest, self.size, self.length = digest, size, length

    def key(self, password, salt):
        return hashlib.pbkdf2_hmac(self.digest, password.encode(), salt, 1000, self.size)

    def hash(self, password):
        salt = os.urandom(16)
        length = f",l={self.size}" if self.length else ""
        text = [base64.b64encode(b).decode().rstrip("=") for b in (salt, self.key(password, salt))]
        return f"$pbkdf2-{self.digest}$i=1000{length}${text[0]}${text[1]}"

    def verify(self, password, encoded):
        salt, key = (base64.b64decode(s + "=" * (-len(s) % 4)) for s in encoded.split("$")[3:])
        return self.key(password, salt) == key


class Cffi:
    """argon2-cffi without anything before it."""

    def __init__(self, **cost):
        self.hasher = argon2.PasswordHasher(**cost)

    def hash(self, password):
        return self.hasher.hash(password)

    def verify(self, password, encoded):
        try:
            return self.hasher.verify(encoded, password)
        except argon2.exceptions.VerifyMismatchError:
            return False


class Bcrypt:
    """pyca/bcrypt without anything before it."""

    def hash(self, password):
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, b"2a")).decode()

    def verify(self, password, encoded):
        return bcrypt.checkpw(password.encode(), encoded.encode())


PASSLIB = "passlib " + passlib.__version__
CFFI = "argon2-cffi " + importlib.metadata.version("argon2-cffi")
DEFAULT = [  # at the cost that the writer chooses
    (PASSLIB, "pbkdf2_sha256", pbkdf2_sha256),
    (PASSLIB, "pbkdf2_sha1", pbkdf2_sha1),
    (PASSLIB, "argon2", passlib_argon2),
    (CFFI, "PasswordHasher", Cffi()),
]
CHEAP = [
    (PASSLIB, "pbkdf2_sha256", pbkdf2_sha256.using(rounds=1000)),
    (PASSLIB, "pbkdf2_sha256, 64 byte salt", pbkdf2_sha256.using(rounds=10, salt_size=64)),
    (PASSLIB, "pbkdf2_sha1", pbkdf2_sha1.using(rounds=1000)),
    (PASSLIB, "scrypt", passlib_scrypt.using(rounds=8, block_size=8, parallelism=1)),
    (PASSLIB, "scrypt", passlib_scrypt.using(rounds=4, block_size=3, parallelism=2)),
    (PASSLIB, "argon2", passlib_argon2.using(type="ID", rounds=1, memory_cost=64, parallelism=2)),
    (PASSLIB, "argon2, argon2i", passlib_argon2.using(type="I", rounds=2, memory_cost=64, parallelism=1)),
    (PASSLIB, "bcrypt 2a", passlib_bcrypt.using(ident="2a", rounds=4, truncate_error=False)),
    (PASSLIB, "bcrypt 2b", passlib_bcrypt.using(ident="2b", rounds=4, truncate_error=False)),
    (PASSLIB, "bcrypt 2y", passlib_bcrypt.using(ident="2y", rounds=4, truncate_error=False)),
    ("bcrypt " + bcrypt.__version__, "hashpw 2a", Bcrypt()),
    (CFFI, "PasswordHasher, 16 byte key", Cffi(time_cost=1, memory_cost=64, parallelism=1, hash_len=16)),
    (CFFI, "PasswordHasher, argon2i", Cffi(time_cost=1, memory_cost=64, parallelism=1, type=argon2.Type.I)),
    ("hashlib", "pbkdf2-sha256", Phc("sha256", 32, False)),
    ("hashlib", "pbkdf2-sha256, l=32", Phc("sha256", 32, True)),
    ("hashlib", "pbkdf2-sha1", Phc("sha1", 20, False)),
    ("hashlib", "pbkdf2-sha1, l=16", Phc("sha1", 16, True)),
]


def entry(writer, name, hasher, password, wrong):
    encoded = hasher.hash(password)
    assert hasher.verify(password, encoded), (name, password)
    assert not hasher.verify(wrong, encoded), (name, wrong)
    return {"writer": writer, "hasher": name, "password": password, "encoded": encoded, "wrong": wrong}


made = [entry(*d, *PASSWORDS[0]) for d in DEFAULT] + [entry(*c, *p) for c in CHEAP for p in PASSWORDS]
json.dump(made, sys.stdout, ensure_ascii=True, indent=1)
print()
