import os
import secrets

ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:8080")
AUDIENCE = os.environ.get("AUDIENCE", "orders")

# Django and simplejwt ask for one when they start; nothing here is signed with it.
SECRET_KEY = secrets.token_urlsafe(50)

# Every host name leads to the same JSON; add your own when something builds URLs from the Host header.
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"

# The user classes that DRF and simplejwt import live in these; no table of theirs is read.
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["authentication.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

SIMPLE_JWT = {
    # The one algorithm that is accepted, whatever a token's header says.
    "ALGORITHM": "ES256",
    "JWK_URL": f"{ISSUER}/.well-known/jwks.json",
    "ISSUER": ISSUER,
    "AUDIENCE": AUDIENCE,
    # Seconds: nbf is the moment of issue, and a clock that is slightly behind would refuse a fresh token.
    "LEEWAY": 5,
    # For users and for services; without this line tokens of services, which have no user_id, get a 401.
    "USER_ID_CLAIM": "sub",
}
