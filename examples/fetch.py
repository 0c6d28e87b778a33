"""Ask for a user's code of a discount, and print it: the same one however often it is asked for.

    DISCOUNT_URL=http://localhost USER_TOKEN=eyJ… python examples/fetch.py dsc-… "User 1"

The token says who the user is, so the two must agree. A service that is open asks for no USER_TOKEN.
"""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: fetch.py DISCOUNT_ID USER")
    discount, user = sys.argv[1:]
    headers = {"Content-Type": "application/json"}
    if os.environ.get("USER_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['USER_TOKEN']}"
    server = os.environ.get("DISCOUNT_URL", "http://localhost").rstrip("/")
    address = f"{server}/discount/{quote(discount, safe='')}/grant"
    body = json.dumps({"user_id": user}).encode()
    try:
        with urlopen(Request(address, body, headers), timeout=30) as answer:
            print(json.load(answer)["code"])
    except HTTPError as refused:
        sys.exit(refused.read().decode())
    except URLError as error:
        sys.exit(f"{address}: {error.reason}")


if __name__ == "__main__":
    main()
