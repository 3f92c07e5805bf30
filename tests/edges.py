"""What firewalls, gateways, portals and other servers say where the service does not get to speak.

Of Cloudflare, nginx, AWS, Envoy and the frameworks, as documented or seen until 2026-11.
"""

from __future__ import annotations

import json

from wandb_inference import errors

RAY = "8f2b6c1d9e3a4b5c"


def page(title: str, heading: str = "", rest: str = "") -> str:
    return (
        '<!DOCTYPE html>\n<!--[if lt IE 7]> <html class="no-js ie6 oldie" lang="en-US"> <![endif]-->\n'
        f'<html lang="en"><head><meta charset="UTF-8" />\n<title>{title}</title>\n<style>body {{ margin: 0 }}</style>'
        f"</head>\n<body><h1 data-translate='x'>{heading}</h1>{rest}</body></html>\n"
    )


def cloudflare(code: int, what: str) -> str:
    heading = f'<span class="inline-block">{what}</span>\n<span class="code-label">Error code {code}</span>'
    rest = f'<p>Cloudflare Ray ID: <strong class="font-semibold">{RAY}</strong> &bull; Your IP: 192.0.2.1</p>'
    return page(f"api.example.com | {code}: {what}", heading, rest)


def plain(title: str, server: str = "") -> str:
    """Nginx's and AWS's."""
    center = f"<center><h1>{title}</h1></center>\r\n" + (f"<hr><center>{server}</center>\r\n" if server else "")
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n{center}</body>\r\n</html>\r\n"


ACCESS, LATE, DOWN = errors.AccessDeniedError, "Stream the answer, or ask for fewer tokens", "Try again in a minute"
FIREWALL, PATH = "A firewall in front of the service refused the call", "no model but a path: check base_url"
EDGES: dict[str, tuple[int, str, type[errors.InferenceError], str, str, bool]] = {
    # name: (status, body, class, words of the message, words of the hint, whether to try again)
    "Cloudflare: 520": (
        520,
        cloudflare(520, "Web server is returning an unknown error"),
        errors.ServerError,
        f"a web page, 'api.example.com | 520: Web server is returning an unknown error', ray id {RAY} (HTTP 520)",
        "cannot read",
        True,
    ),
    "Cloudflare: 521": (521, cloudflare(521, "Web server is down"), errors.ServerError, RAY, "may be down", True),
    "Cloudflare: 522": (522, cloudflare(522, "Connection timed out"), errors.ServerError, "522", "connect", True),
    "Cloudflare: 523": (523, cloudflare(523, "Origin is unreachable"), errors.ServerError, "523", "no way", True),
    "Cloudflare: 524": (524, cloudflare(524, "A timeout occurred"), errors.ServerError, "A timeout", LATE, True),
    "Cloudflare: 524 for programs": (524, "error code: 524", errors.ServerError, "error code: 524", LATE, True),
    "Cloudflare: 525": (525, cloudflare(525, "SSL handshake failed"), errors.ServerError, "525", "TLS", True),
    "Cloudflare: 526": (
        526,
        cloudflare(526, "Invalid SSL certificate"),
        errors.ServerError,
        "526",
        "certificate",
        True,
    ),
    "Cloudflare: 530": (530, "error code: 1033", errors.ServerError, "1033", "resolve or reach", True),
    "Cloudflare: a block": (
        403,
        page("Attention Required! | Cloudflare", "Sorry, you have been blocked", f"Ray ID: <b>{RAY}</b>"),
        ACCESS,
        f"a web page, 'Attention Required! | Cloudflare: Sorry, you have been blocked', ray id {RAY} (HTTP 403)",
        FIREWALL,
        False,
    ),
    "Cloudflare: a rule": (
        403,
        page(
            "Access denied | api.example.com used Cloudflare to restrict access", "<span>Error</span> <span>1020</span>"
        ),
        ACCESS,
        "restrict access: Error 1020'",
        FIREWALL,
        False,
    ),
    "Cloudflare: a rule, for programs": (403, "error code: 1010", ACCESS, "error code: 1010", FIREWALL, False),
    "Cloudflare: a challenge": (403, page("Just a moment..."), ACCESS, "'Just a moment...'", "browser", False),
    "Cloudflare: an older challenge": (503, page("Just a moment..."), ACCESS, "Just a", "browser", False),
    "Cloudflare: too many": (
        429,
        page("Access denied | api.example.com used Cloudflare to restrict access", "Error 1015"),
        errors.RateLimitedError,
        "Error 1015",
        "Lower the number of calls",
        True,
    ),
    "CloudFront": (
        403,
        page("ERROR: The request could not be satisfied", "403 ERROR"),
        ACCESS,
        "403 E",
        FIREWALL,
        False,
    ),
    "AWS's firewall": (403, plain("403 Forbidden"), ACCESS, "a web page, '403 Forbidden'", FIREWALL, False),
    "AWS's storage": (
        403,
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
        ACCESS,
        "AccessDenied",
        FIREWALL,
        False,
    ),
    "the service's own 403": (403, '{"error": "no"}', ACCESS, "no", "Ask the organisation's administrator", False),
    "nginx: a login": (
        401,
        plain("401 Authorization Required", "nginx"),
        errors.AuthenticationError,
        "401 Authorization Required",
        "a login of its own",
        False,
    ),
    "nginx: 404": (404, plain("404 Not Found", "nginx/1.25.3"), errors.NotFoundError, "'404 Not Found'", PATH, False),
    "nginx: 413": (413, plain("413 Request Entity Too Large"), errors.BadRequestError, "413 R", "smaller", False),
    "nginx: 502": (502, plain("502 Bad Gateway", "nginx"), errors.ServerError, "'502 Bad Gateway'", DOWN, True),
    "nginx: 503": (503, plain("503 Service Temporarily Unavailable"), errors.OverloadedError, "503 S", DOWN, True),
    "nginx: 504": (504, plain("504 Gateway Time-out", "nginx"), errors.ServerError, "504 Gateway Time-out", LATE, True),
    "AWS: 502": (502, plain("502 Bad Gateway"), errors.ServerError, "'502 Bad Gateway'", DOWN, True),
    "AWS: 504": (504, plain("504 Gateway Time-out"), errors.ServerError, "504", LATE, True),
    "AWS: 504 of its API gateway": (
        504,
        '{"message": "Endpoint request timed out"}',
        errors.ServerError,
        "E",
        LATE,
        True,
    ),
    "Envoy: 503": (
        503,
        "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
        errors.OverloadedError,
        "reset reason: connection failure (HTTP 503)",
        "(Envoy) cannot reach it. Try again",
        True,
    ),
    "Envoy: nobody": (503, "no healthy upstream", errors.OverloadedError, "no healthy", "(Envoy) cannot", True),
    "Envoy: 504": (504, "upstream request timeout", errors.ServerError, "upstream request timeout", LATE, True),
    "a network that asks for a login": (511, page("Login"), ACCESS, "'Login'", "open a browser", False),
    "a proxy that asks for a login": (407, plain("407 Proxy"), errors.StatusError, "407 P", "HTTPS_PROXY", False),
    "a captive portal": (
        200,
        page("Welcome to AirportWiFi", "Sign in to go online"),
        errors.MalformedResponseError,
        "the answer is not JSON: a web page, 'Welcome to AirportWiFi: Sign in to go online'.",
        "a login page of the network",
        False,
    ),
    "a web site": (200, page("My site"), errors.MalformedResponseError, "'My site'", "usually ends in /v1", False),
    "an error in the form of a stream": (
        429,
        'event: error\ndata: {"error": {"message": "slow down"}}\n\n',
        errors.RateLimitedError,
        "m: slow down (HTTP 429)",
        "Lower",
        True,
    ),
    "no stream after all": (500, "data: oops\n\n", errors.ServerError, "data: oops (HTTP 500)", DOWN, True),
    "a page that a proxy wraps in JSON": (
        502,
        json.dumps({"error": {"message": plain("502 Bad Gateway", "nginx"), "code": "502"}}),
        errors.ServerError,
        "m: a web page, '502 Bad Gateway' (HTTP 502)",
        DOWN,
        True,
    ),
    "a block that a proxy wraps in JSON": (
        403,
        json.dumps({"detail": page("Attention Required! | Cloudflare", "Sorry, you have been blocked")}),
        ACCESS,
        "Sorry, you have been blocked",
        FIREWALL,
        False,
    ),
    "a page in an error of a stream": (
        200,
        json.dumps({"error": {"message": plain("502 Bad Gateway"), "code": 502}}),
        errors.ServerError,
        "m: a web page, '502 Bad Gateway' (HTTP 502)",
        DOWN,
        True,
    ),
    # paths
    "llama-server: a path": (
        404,
        '{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
        errors.NotFoundError,
        "m: File Not Found (HTTP 404)",
        PATH,
        False,
    ),
    "llama-server: a path, as text": (404, "File Not Found\n", errors.NotFoundError, "File Not", PATH, False),
    "FastAPI: a path": (404, '{"detail":"Not Found"}', errors.NotFoundError, "Not Found", PATH, False),
    "Spring: a path": (
        404,
        '{"timestamp": "x", "status": 404, "error": "Not Found", "path": "/chat/completions"}',
        errors.NotFoundError,
        "Not Found",
        PATH,
        False,
    ),
    "Go: a path": (404, "404 page not found\n", errors.NotFoundError, "404 page not found", PATH, False),
    "Express: a path": (
        404,
        "<!DOCTYPE html><html><head><title>Error</title></head><body><pre>Cannot POST /v1/chat</pre></body></html>",
        errors.NotFoundError,
        "Cannot POST /v1/chat",
        PATH,
        False,
    ),
    "Fastify: a path": (404, '{"message":"Route not found"}', errors.NotFoundError, "Route", PATH, False),
    "OpenAI: a path": (
        404,
        '{"error": {"message": "Invalid URL (POST /chat/completion)"}}',
        errors.NotFoundError,
        "Invalid",
        PATH,
        False,
    ),
    "Groq: a path": (
        404,
        '{"error":{"message":"Unknown request URL: POST /chat. Please check the URL for typos"}}',
        errors.NotFoundError,
        "Unknown",
        PATH,
        False,
    ),
    "Flask: a path": (
        404,
        '{"message": "The requested URL was not found on the server."}',
        errors.NotFoundError,
        "requested",
        PATH,
        False,
    ),
    "Kong: a path": (
        404,
        '{"message":"no Route matched with those values"}',
        errors.NotFoundError,
        "no R",
        PATH,
        False,
    ),
    "Kubernetes: a path": (404, "default backend - 404", errors.NotFoundError, "default", PATH, False),
    "a model": (
        404,
        '{"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}}',
        errors.NotFoundError,
        "does not exist",
        "Model ids are case-sensitive",
        False,
    ),
    "a model, in other words": (404, '{"error": "model m not found"}', errors.NotFoundError, "m", "Model ids", False),
}
