"""Get a user's code of a discount, and print it. The same user always gets the same code.

    DISCOUNT_URL=http://localhost USER_TOKEN=eyJ… python examples/fetch.py dsc-… "User 1"

The user must be the one that the token names. An open service needs no USER_TOKEN.
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
