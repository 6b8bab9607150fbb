import os
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER = os.environ.get("ISSUER", "http://127.0.0.1:8080")
AUDIENCE = os.environ.get("AUDIENCE", "orders")

# One for the life of the process: it caches the key set.
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", timeout=5)

app = FastAPI()


# Not async: FastAPI runs it in a thread, so a fetch of the key set does not hold up the event loop.
def access_token(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict:
    try:
        return verify(bearer.credentials)
    except jwt.PyJWKClientConnectionError:
        # The keys are out of reach, which says nothing about the token: a 401 would log users out.
        raise HTTPException(503, "cannot fetch the issuer's keys")
    except jwt.PyJWTError:
        raise HTTPException(401, "invalid token", {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def verify(token: str) -> dict:
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256", "RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        # Seconds: nbf is the moment of issue, and a clock that is slightly behind would refuse a fresh token.
        leeway=5,
        # PyJWT takes a token that has no exp unless it is told to ask for it.
        options={"require": ["exp", "sub"]},
    )
    if claims.get("token_type") != "access":
        raise jwt.InvalidTokenError("not an access token")
    return claims


Claims = Annotated[dict, Depends(access_token)]


@app.get("/orders")
def orders(claims: Claims) -> dict[str, str]:
    return {"sub": claims["sub"]}
