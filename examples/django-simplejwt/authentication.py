from jwt import PyJWTError
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken


class Authentication(JWTStatelessUserAuthentication):
    # A forged token whose kid is that of an RSA key, or a key set without keys, makes PyJWT raise what
    # simplejwt does not catch: anybody could fill the log with 500s.
    def get_validated_token(self, raw_token):
        try:
            return super().get_validated_token(raw_token)
        except (PyJWTError, TypeError) as error:
            raise InvalidToken() from error
