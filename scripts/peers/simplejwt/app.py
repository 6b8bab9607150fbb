"""simplejwt with ES256, rotation and the blacklist that makes a rotated token void."""
import os
import sys
from pathlib import Path

import django
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

here = Path(__file__).parent
key = Path(os.environ["TOKENS_KEY"]).read_bytes()
public = serialization.load_pem_private_key(key, None).public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

settings.configure(
    SECRET_KEY="unused: tokens are signed with the key of the file",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework",
                    "rest_framework_simplejwt", "rest_framework_simplejwt.token_blacklist"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.sqlite3", "NAME": here / "db.sqlite3", "CONN_MAX_AGE": None,
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE",
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"}}},
    SIMPLE_JWT={"ALGORITHM": "ES256", "SIGNING_KEY": key.decode(), "VERIFYING_KEY": public.decode(),
                "ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True},
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from rest_framework_simplejwt.views import TokenRefreshView  # noqa: E402

urlpatterns = [
    path("", lambda request: HttpResponse("ready")),
    path("api/token/refresh/", TokenRefreshView.as_view()),
]
application = get_wsgi_application()


def write_tokens(count, to):
    from django.contrib.auth.models import User
    from django.db import transaction
    from rest_framework_simplejwt.tokens import RefreshToken
    with transaction.atomic():
        user = User.objects.create(username="kyoko")
        tokens = [str(RefreshToken.for_user(user)) for _ in range(count)]
    with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write("\n".join(tokens) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "migrate":
        from django.core.management import execute_from_command_line
        execute_from_command_line(sys.argv)
    else:
        write_tokens(int(sys.argv[1]), sys.argv[2])
