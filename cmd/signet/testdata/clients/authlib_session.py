"""Authlib: OAuth2Session, its private_key_jwt and its RFC 9068 validator.

The fixture comes as JSON in FIXTURE; one line of JSON for each case goes out, and one with
their number at the end.
"""

import json
import os
import time
import traceback

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT, private_key_jwt_sign
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidClaimError
from joserfc.jwk import ECKey, KeySet, RSAKey

FIXTURE = json.loads(os.environ["FIXTURE"])
ISSUER = FIXTURE["issuer"]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CASES = {}


def case(name):
    def register(body):
        CASES[name] = body
    return register


def metadata(suffix="oauth-authorization-server"):
    answer = requests.get(get_well_known_url(ISSUER, external=True, suffix=suffix), timeout=10)
    assert answer.status_code == 200, answer.text
    return AuthorizationServerMetadata(answer.json())


SERVER = metadata()
TOKEN, INTROSPECT, REVOKE = SERVER.token_endpoint, SERVER["introspection_endpoint"], SERVER["revocation_endpoint"]


def session(client, method="client_secret_basic", secret=None, **options):
    return OAuth2Session(client, secret or FIXTURE["secrets"].get(client), default_timeout=10,
                         token_endpoint_auth_method=method, revocation_endpoint_auth_method=method, **options)


def billing(method="client_secret_basic", secret=None):
    return session("billing-2.eu_west", method, secret, scope="orders:read")


def orders():
    return session("orders", "client_secret_post")


def first_party(**options):
    return OAuth2Session("first-party", default_timeout=10, **options)


class Assertion(PrivateKeyJWT):
    """An assertion as this issuer wants it: for the issuer, of a short life, with a jti of its own."""

    def __init__(self, jwk):
        super().__init__(alg=jwk["alg"])
        self.kid = jwk["kid"]

    def sign(self, auth, token_endpoint):
        return private_key_jwt_sign(auth.client_secret, auth.client_id, ISSUER, alg=self.alg,
                                    header={"kid": self.kid}, expires_in=60)


def key_of(jwk):
    return (ECKey if jwk["kty"] == "EC" else RSAKey).import_key(jwk)


def keyed(auth=None, alg="ES256", key=None):
    jwk = FIXTURE["keys"][alg]
    s = session("keyed", "private_key_jwt", key or key_of(jwk))
    s.register_client_auth_method(auth or Assertion(jwk))
    return s


def machine(s, **parameters):
    return s.fetch_token(TOKEN, **{"audience": "orders", **parameters})


def check_granted(s):
    token = machine(s)
    assert token["token_type"] == "Bearer" and token["scope"] == "orders:read", token
    assert 200 < token["expires_in"] <= 300 and not token.is_expired(), token
    claims = verified(token["access_token"])
    assert claims["sub"] == claims["client_id"] == s.client_id and claims["aud"] == "orders", claims


def login():
    answer = requests.post(ISSUER + "/api/token/", timeout=10,
                           data={"username": FIXTURE["user"], "password": FIXTURE["password"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refuses(code, call):
    try:
        call()
    except OAuthError as err:
        assert err.error == code and err.description, repr(err)
    else:
        raise AssertionError("nothing was refused")


def raises(kind, call):
    try:
        call()
    except kind as err:
        return err
    raise AssertionError("nothing was refused")


def keys():
    return KeySet.import_key_set(requests.get(SERVER["jwks_uri"], timeout=10).json())


def verified(token):
    return jwt.decode(token, keys(), algorithms=["ES256", "RS256"]).claims


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return keys()


def validate(token, audience="orders", scopes=None):
    v = Validator(ISSUER, audience)
    claims = v.authenticate_token(token)
    v.validate_token(claims, scopes, None)
    return claims


def forged(token):
    """The same token with one bit of its signature changed, still base64url."""
    head, signature = token.rsplit(".", 1)
    return f"{head}.{signature[:40]}{'A' if signature[40] != 'A' else 'B'}{signature[41:]}"


@case("metadata at both paths")
def _():
    assert SERVER["issuer"] == ISSUER
    assert metadata("openid-configuration") == SERVER


@case("metadata validates but for response_types_supported")
def _():
    for name in SERVER.REGISTRY_KEYS:
        if name != "response_types_supported":
            getattr(SERVER, f"validate_{name}")()
    # There is no authorization endpoint, and Authlib takes the empty list for a missing one.
    err = raises(ValueError, SERVER.validate)
    assert str(err) == '"response_types_supported" is required', err


@case("client_secret_basic")
def _():
    check_granted(billing())


@case("client_secret_post")
def _():
    check_granted(billing("client_secret_post"))


@case("private_key_jwt with ES256")
def _():
    s = keyed()
    check_granted(s)
    check_granted(s)


@case("private_key_jwt with RS256")
def _():
    check_granted(keyed(alg="RS256"))


# By itself Authlib signs for the token endpoint, and for an hour.
@case("private_key_jwt as Authlib makes it")
def _():
    kid = {"kid": FIXTURE["keys"]["ES256"]["kid"]}
    for auth in (PrivateKeyJWT(alg="ES256", headers=kid), PrivateKeyJWT(TOKEN, alg="ES256", headers=kid)):
        refuses("invalid_client", lambda: machine(keyed(auth)))


@case("private_key_jwt for the issuer, for an hour")
def _():
    auth = PrivateKeyJWT(ISSUER, alg="ES256", headers={"kid": FIXTURE["keys"]["ES256"]["kid"]})
    refuses("invalid_client", lambda: machine(keyed(auth)))


# Authlib keeps the jti in the claims that it was given: the second request is a replay.
@case("private_key_jwt with claims is good once")
def _():
    auth = PrivateKeyJWT(ISSUER, {"exp": int(time.time()) + 300}, {"kid": FIXTURE["keys"]["ES256"]["kid"]}, "ES256")
    s = keyed(auth)
    check_granted(s)
    refuses("invalid_client", lambda: machine(s))


@case("private_key_jwt for a list of audiences")
def _():
    claims = {"aud": [ISSUER], "exp": int(time.time()) + 300}
    auth = PrivateKeyJWT(ISSUER, claims, {"kid": FIXTURE["keys"]["ES256"]["kid"]}, "ES256")
    refuses("invalid_client", lambda: machine(keyed(auth)))


@case("an assertion of another key")
def _():
    refuses("invalid_client", lambda: machine(keyed(key=ECKey.generate_key("P-256"))))


@case("an assertion signed with the secret")
def _():
    s = billing("client_secret_jwt")
    s.register_client_auth_method(ClientSecretJWT(ISSUER))
    refuses("invalid_client", lambda: machine(s))


@case("a wrong secret in the header")
def _():
    refuses("invalid_client", lambda: machine(billing(secret="wrong")))


@case("a wrong secret in the body")
def _():
    refuses("invalid_client", lambda: machine(billing("client_secret_post", "wrong")))


@case("a scope that is not registered")
def _():
    refuses("invalid_scope", lambda: machine(billing(), scope="admin"))


@case("an audience that is not registered")
def _():
    refuses("invalid_target", lambda: machine(billing(), audience="payroll"))


@case("a grant that is not offered")
def _():
    refuses("unsupported_grant_type", lambda: billing().fetch_token(TOKEN, username="x", password="x"))


@case("introspection by the audience")
def _():
    token = machine(billing())["access_token"]
    claims = verified(token)
    told = orders().introspect_token(INTROSPECT, token, token_type_hint="access_token").json()
    assert told["active"] is True and told["scope"] == "orders:read", told
    for name in ("iss", "sub", "aud", "client_id", "exp", "iat", "nbf", "jti"):
        assert told[name] == claims[name], name


@case("introspection by a key")
def _():
    s = keyed()
    assert s.introspect_token(INTROSPECT, machine(s)["access_token"]).json()["active"] is True


@case("introspection by a stranger")
def _():
    token = machine(billing())["access_token"]
    assert keyed().introspect_token(INTROSPECT, token).json() == {"active": False}


@case("introspection with a wrong secret")
def _():
    answer = session("orders", secret="wrong").introspect_token(INTROSPECT, "x")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text


@case("refresh as a public client")
def _():
    pair = login()
    s = first_party()
    token = s.refresh_token(TOKEN, pair["refresh"])
    assert token["refresh_token"] != pair["refresh"]
    assert verified(token["access_token"])["client_id"] == "first-party"
    s.refresh_token(TOKEN)


@case("refresh before a request")
def _():
    pair, kept = login(), []
    expired = {"access_token": pair["access"], "refresh_token": pair["refresh"], "token_type": "Bearer", "expires_at": 1}
    s = first_party(token=expired, token_endpoint=TOKEN, update_token=lambda token, refresh_token: kept.append(token))
    s.get(SERVER["jwks_uri"])
    assert [t["refresh_token"] != pair["refresh"] for t in kept] == [True], kept


@case("refresh with an access token")
def _():
    refuses("invalid_grant", lambda: first_party().refresh_token(TOKEN, login()["access"]))


@case("revocation ends the session")
def _():
    pair = login()
    for _ in range(2):  # RFC 7009 §2.2: the second is no error
        answer = first_party().revoke_token(REVOKE, pair["refresh"], token_type_hint="refresh_token")
        assert answer.status_code == 200, answer.text
    refuses("invalid_grant", lambda: first_party().refresh_token(TOKEN, pair["refresh"]))
    assert orders().introspect_token(INTROSPECT, pair["access"]).json() == {"active": False}


@case("revocation of an access token")
def _():
    s = keyed()
    answer = s.revoke_token(REVOKE, machine(s)["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type"), answer.text


@case("revocation of a token of another client")
def _():
    answer = orders().revoke_token(REVOKE, login()["refresh"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), answer.text


@case("token exchange")
def _():
    access = login()["access"]
    token = orders().fetch_token(TOKEN, grant_type=EXCHANGE, subject_token=access, audience="ledger",
                                 subject_token_type="urn:ietf:params:oauth:token-type:access_token")
    claims = validate(token["access_token"], "ledger")
    assert (claims["sub"], claims["act"]) == (verified(access)["sub"], {"sub": "orders"}), claims


@case("validation of a service's token")
def _():
    token = machine(billing())["access_token"]
    assert validate(token, scopes=["orders:read"])["sub"] == "billing-2.eu_west"
    raises(InsufficientScopeError, lambda: validate(token, scopes=["orders:write"]))


@case("validation of an RS256 token")
def _():
    assert validate(machine(session("rsa"))["access_token"])["sub"] == "rsa"


@case("validation for another audience")
def _():
    err = raises(InvalidTokenError, lambda: validate(machine(billing())["access_token"], "ledger"))
    assert isinstance(err.__cause__, InvalidClaimError) and err.__cause__.claim == "aud", repr(err.__cause__)


@case("validation of a forged token")
def _():
    err = raises(InvalidTokenError, lambda: validate(forged(machine(billing())["access_token"])))
    assert isinstance(err.__cause__, BadSignatureError), repr(err.__cause__)


# A login's access token has the typ JWT, as simplejwt's has: a service of RFC 9068 refuses it.
@case("validation of a login's token")
def _():
    for name in ("access", "refresh"):
        err = raises(InvalidTokenError, lambda: validate(login()[name]))
        assert isinstance(err.__cause__, InvalidClaimError) and err.__cause__.claim == "typ", repr(err.__cause__)


for name, body in CASES.items():
    error = ""
    try:
        body()
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"name": name, "error": error}))
print(json.dumps({"done": len(CASES)}))
