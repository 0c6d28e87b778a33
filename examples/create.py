"""Create a discount whose codes are made for each user, and print its id.

    DISCOUNT_URL=http://localhost DISCOUNT_KEY=dsk_… python examples/create.py IKEA "Summer sale" 100

With a webhook's URL as fourth argument, the URL is called for each granted code. The script then also prints the secret
that signs these calls; it cannot be shown again. An open service needs no DISCOUNT_KEY.
"""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

TEMPLATE = "{brand}-thinks-{user}-is-awesome-{id}"


def main() -> None:
    if len(sys.argv) not in (4, 5) or not sys.argv[3].isdecimal():
        sys.exit("usage: create.py BRAND NAME NUMBER_OF_CODES [WEBHOOK_URL]")
    brand, name, number = sys.argv[1:4]
    body = {
        "brand_id": brand,
        "discount_code": name,
        "total_count": int(number),
        "codes": {"kind": "personal", "template": TEMPLATE},
    }
    if len(sys.argv) == 5:
        body["webhook_url"] = sys.argv[4]
    headers = {"Content-Type": "application/json"}
    if os.environ.get("DISCOUNT_KEY"):
        headers["Authorization"] = f"Bearer {os.environ['DISCOUNT_KEY']}"
    address = os.environ.get("DISCOUNT_URL", "http://localhost").rstrip("/") + "/discount"
    try:
        with urlopen(Request(address, json.dumps(body).encode(), headers), timeout=30) as answer:
            created = json.load(answer)
    except HTTPError as refused:
        sys.exit(refused.read().decode())
    except URLError as error:
        sys.exit(f"{address}: {error.reason}")
    print(created["id"])
    if "webhook_url" in body:
        print(created["webhook_secret"])


if __name__ == "__main__":
    main()
