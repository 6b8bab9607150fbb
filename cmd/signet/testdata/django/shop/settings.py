"""A shop before the move; STAGE adds what the page says: moving, after or old_dialect."""
import os
from datetime import timedelta
from pathlib import Path

SECRET_KEY = "the secret that the shop and its services share, until the move is done"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "orders"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent.parent / "db.sqlite3"}}
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher"
    for name in ("PBKDF2", "PBKDF2SHA1", "Argon2", "BCryptSHA256", "BCrypt", "Scrypt", "MD5")
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SIMPLE_JWT = {"SIGNING_KEY": SECRET_KEY, "ACCESS_TOKEN_LIFETIME": timedelta(hours=1)}  # longer than the test

# The test writes the snippets of the page beside manage.py; a setting of the page that
# names a class of users is the test's choice.
for stage in filter(None, os.environ.get("STAGE", "").split(",")):
    exec(Path(f"{stage}.py").read_text())
if "USERS" in os.environ:
    REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"] = [os.environ["USERS"]]
