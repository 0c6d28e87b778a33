"""Settings: read from the environment, checked, refused in one line."""

import tempfile
import unittest
from pathlib import Path

from msgspec import structs

from discount.config import Settings, SettingsError
from discount.environment import read_settings


class Reading(unittest.TestCase):
    def test_an_empty_environment_gives_the_defaults(self) -> None:
        self.assertEqual(read_settings({}), Settings())
        self.assertEqual((Settings().partitions, Settings().host, Settings().port), (16, "127.0.0.1", 8000))

    def test_each_setting_is_read_from_its_variable(self) -> None:
        given = {
            "REDIS_URL": "unix:///a/socket",
            "REDIS_TIMEOUT": "0.5",
            "REDIS_PASSWORD": "open sesame",
            "PARTITIONS": "256",
            "DURABILITY": "synced",
            "DURABILITY_REPLICAS": "2",
            "HOST": "::1",
            "PORT": "0",
            "WORKERS": "3",
            "POOL_WORKERS": "2",
            "THREADS": "1",
            "LONG_CALLS": "4",
            "LONG_CALLS_PER_BRAND": "3",
            "LONG_CALLS_PER_KEY": "1",
            "CALLER_SHARE": "30",
            "POOL_SHARE": "60",
            "DATA": "/data",
            "PROXIES": "2",
            "LOG_FORMAT": "text",
            "LOG_LEVEL": "debug",
            "AUTH": "token",
            "ALLOW_OPEN": "1",
            "ADDRESS": "shop.example",
            "ADMIN_KEY": "a" * 32,
            "SECRET": "s" * 32,
            "JWT_SECRET": "j" * 32,
            "JWT_AUDIENCE": "discount",
            "JWT_ISSUER": "https://shop.example",
            "RATE_KEY": "off",
            "RATE_USER": "1/second",
            "RATE_ADDRESS": "5 per 2 hours",
            "QUOTA_DISCOUNTS": "10",
            "QUOTA_CODES": "20",
            "QUOTA_GRANTS_A_DAY": "30",
            "QUOTA_EMAILS_A_DAY": "40",
            "QUOTA_STORED_BYTES": "off",
            "DIALECTS": "coupons, brand-pools",
            "CONSOLE": "off",
            "OIDC_ISSUER": "https://id.example",
            "OIDC_CLIENT_ID": "console",
            "OIDC_CLIENT_SECRET": "c" * 32,
            "OIDC_CLAIM": "roles",
            "SMTP_URL": "smtps://ann:pass@mail.example",
            "MAIL_FROM": "Ikea <mail@ikea.example>",
            "PUBLIC_URL": "https://discounts.example",
            "WEBHOOK_TIMEOUT": "3.5",
            "WEBHOOK_PAUSES": "1,2.5",
            "WEBHOOK_OFF_AFTER": "0.5",
            "WEBHOOK_LOOPBACK": "1",
            "LEDGER_URL": "sqlite:////data/ledger.db",
            "EVENT_DAYS": "4",
            "FIGURE_MINUTE_DAYS": "30",
            "FIGURE_HOUR_DAYS": "60",
            "REMIND_DAYS": "1",
            "USE_DAYS": "30",
            "REDEMPTION_DAYS": "31",
            "LEDGER_EVENT_DAYS": "32",
            "LEDGER_CHANGE_DAYS": "33",
            "SENDERS": "3",
            "MAIL_SENDERS": "2",
            "WORKER_PORT": "0",
            "WORKER_AWAY": "15",
        }
        self.assertEqual({name.upper() for name in Settings.__struct_fields__}, set(given) | {"JWKS_URL"})
        found = structs.asdict(read_settings(given))
        numbers = {"redis_timeout": 0.5, "partitions": 256, "port": 0, "workers": 3, "threads": 1, "proxies": 2}
        numbers |= {"webhook_timeout": 3.5, "webhook_off_after": 0.5, "event_days": 4, "remind_days": 1, "senders": 3}
        numbers |= {"figure_minute_days": 30, "figure_hour_days": 60}
        numbers |= {"redemption_days": 31, "ledger_event_days": 32, "ledger_change_days": 33}
        numbers |= {"use_days": 30, "durability_replicas": 2, "pool_workers": 2}
        numbers |= {
            "long_calls": 4,
            "long_calls_per_brand": 3,
            "long_calls_per_key": 1,
            "caller_share": 30,
            "pool_share": 60,
        }
        numbers |= {"mail_senders": 2, "worker_port": 0, "worker_away": 15, "webhook_loopback": True}
        self.assertEqual(
            found, {name.lower(): text for name, text in given.items()} | numbers | {"allow_open": True, "jwks_url": ""}
        )

    def test_an_empty_variable_counts_as_not_set(self) -> None:
        self.assertEqual(read_settings({"PORT": "", "HOST": "", "LOG_FORMAT": ""}), Settings())

    def test_other_variables_do_not_matter(self) -> None:
        self.assertEqual(read_settings({"PATH": "/bin", "PORT_": "x"}), Settings())

    def test_lower_case_variables_do_not_matter(self) -> None:
        self.assertEqual(read_settings({"port": "9"}), Settings())

    def test_uses_are_kept_longer_than_their_events(self) -> None:
        self.assertEqual(read_settings({"USE_DAYS": "8"}).use_days, 8)
        for given in ({"USE_DAYS": "7"}, {"USE_DAYS": "30", "EVENT_DAYS": "30"}):
            with (
                self.subTest(given),
                self.assertRaisesRegex(SettingsError, "^USE_DAYS='.*must be more than EVENT_DAYS"),
            ):
                read_settings(given)

    def test_all_dialects_are_enabled_unless_the_setting_names_some_or_none(self) -> None:
        self.assertEqual(
            read_settings({}).enabled_dialects, {"brand-pools", "readable-codes", "coupons", "personal-codes"}
        )
        self.assertEqual(
            read_settings({"DIALECTS": "coupons, brand-pools"}).enabled_dialects, {"coupons", "brand-pools"}
        )
        self.assertEqual(read_settings({"DIALECTS": "off"}).enabled_dialects, frozenset())

    def test_settings_cannot_be_changed(self) -> None:
        with self.assertRaises(AttributeError):
            Settings().port = 1  # type: ignore[misc]


class Refusing(unittest.TestCase):
    def test_a_wrong_value_is_refused_in_one_line_that_names_its_variable(self) -> None:
        wrong = {
            "REDIS_URL": ["http://localhost", "localhost:6379", "\nredis://a"],
            "REDIS_TIMEOUT": ["0", "-1", "61", "soon", "nan"],
            "PARTITIONS": ["0", "257", "16.5", "many", "１６x"],
            "PORT": ["-1", "65536", "http", "80 80"],
            "WORKERS": ["0", "257", "two"],
            "THREADS": ["0", "257", "true"],
            "LOG_FORMAT": ["xml", "JSON"],
            "LOG_LEVEL": ["loud"],
            "DIALECTS": ["coupon", "coupons,", "all", "coupons,off"],
        }
        for name, values in wrong.items():
            for value in values:
                with self.subTest(f"{name}={value!r}"):
                    with self.assertRaises(SettingsError) as caught:
                        read_settings({name: value})
                    self.assertTrue(str(caught.exception).startswith(f"{name}="), str(caught.exception))
                    self.assertNotIn("\n", str(caught.exception))

    def test_a_wrong_value_is_shown(self) -> None:
        with self.assertRaisesRegex(SettingsError, r"^PORT='http': is not an integer$"):
            read_settings({"PORT": "http"})

    def test_an_error_message_names_the_allowed_values(self) -> None:
        for name, value, reason in (
            ("AUTH", "tokens", "allowed are open, token"),
            ("PORT", "65536", "must be from 0 to 65,535"),
            ("REDIS_TIMEOUT", "0", "must be more than 0 and at most 60"),
            ("ALLOW_OPEN", "maybe", "is not true or false"),
            ("REDIS_URL", "x", "does not fit; must be a URL that begins with redis://, rediss:// or unix://"),
            ("WEBHOOK_PAUSES", "5;60", "does not fit; must be seconds separated by commas, such as 5,60,300"),
        ):
            with self.subTest(name):
                with self.assertRaises(SettingsError) as caught:
                    read_settings({name: value})
                self.assertEqual(str(caught.exception), f"{name}={value!r}: {reason}")

    def test_a_password_in_a_wrong_redis_url_is_not_shown(self) -> None:
        with self.assertRaises(SettingsError) as caught:
            read_settings({"REDIS_URL": "http://user:hush@host"})
        self.assertNotIn("hush", str(caught.exception))


TOKEN = {"AUTH": "token", "ADMIN_KEY": "a" * 32, "SECRET": "s" * 32}
USERS = {"JWT_SECRET": "j" * 32, "JWT_AUDIENCE": "discount", "JWT_ISSUER": "shop"}


class Access(unittest.TestCase):
    def refused(self, given: dict[str, str], reason: str) -> None:
        with self.subTest(given), self.assertRaisesRegex(SettingsError, reason) as caught:
            read_settings(given)
        self.assertNotIn("\n", str(caught.exception))
        for name in ("ADMIN_KEY", "SECRET", "JWT_SECRET"):
            if given.get(name):
                self.assertNotIn(given[name], str(caught.exception))

    def test_an_open_service_is_reachable_only_from_this_machine(self) -> None:
        for name in ("HOST", "ADDRESS"):
            for address in ("0.0.0.0", "::", "192.168.1.7", "shop.example", "127.evil.example"):
                self.refused({name: address}, "^AUTH='open': anyone who reaches .*ALLOW_OPEN=1")
            for address in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
                self.assertEqual(read_settings({name: address}).auth, "open")

    def test_the_published_address_counts_more_than_the_listening_one(self) -> None:
        self.assertEqual(read_settings({"HOST": "0.0.0.0", "ADDRESS": "127.0.0.1"}).host, "0.0.0.0")
        self.refused({"HOST": "127.0.0.1", "ADDRESS": "0.0.0.0"}, "0.0.0.0")

    def test_open_access_from_anywhere_must_be_allowed_explicitly(self) -> None:
        self.assertTrue(read_settings({"HOST": "0.0.0.0", "ALLOW_OPEN": "1"}).allow_open)
        self.refused({"HOST": "0.0.0.0", "ALLOW_OPEN": "0"}, "AUTH")

    def test_tokens_need_their_secrets(self) -> None:
        self.assertEqual(read_settings(TOKEN | {"HOST": "0.0.0.0"}).auth, "token")
        for name in ("ADMIN_KEY", "SECRET"):
            self.refused(TOKEN | {name: ""}, f"^{name}: is needed with AUTH=token")
            self.refused(TOKEN | {name: "x" * 31}, rf"^{name}='\*\*\*': ")

    def test_an_admin_key_that_is_not_a_valid_bearer_token_is_refused_at_the_start(self) -> None:
        for key in ("p!p!" * 8, "a b " * 8, "=" * 32, "\u00e4" * 32, "a=" * 16):
            self.refused(TOKEN | {"ADMIN_KEY": key}, r"^ADMIN_KEY='\*\*\*': does not fit; only A-Z.* bearer token")
        self.assertEqual(read_settings(TOKEN | {"ADMIN_KEY": "aZ09-._~+/" * 4 + "=="}).auth, "token")

    def test_an_admin_key_equal_to_the_secret_is_refused_at_the_start(self) -> None:
        self.refused(TOKEN | {"ADMIN_KEY": "s" * 32}, "^ADMIN_KEY and SECRET: must differ")

    def test_users_tokens_need_one_kind_of_key_an_audience_and_an_issuer(self) -> None:
        self.assertEqual(read_settings(TOKEN | USERS).jwt_issuer, "shop")
        self.refused(TOKEN | USERS | {"JWKS_URL": "https://a/b"}, "set only one of them")
        self.refused(TOKEN | USERS | {"JWT_AUDIENCE": ""}, "^JWT_AUDIENCE: is needed to verify")
        self.refused(TOKEN | USERS | {"JWT_ISSUER": ""}, "^JWT_ISSUER: is needed to verify")
        self.refused(TOKEN | {"OIDC_ISSUER": "https://a"}, "^OIDC_CLIENT_ID: is needed")
        provider = {"OIDC_ISSUER": "https://a", "OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "y"}
        self.refused(provider, "^OIDC_ISSUER: nobody signs in at an open service")
        self.refused(TOKEN | {"JWKS_URL": "file:///etc/passwd"}, "^JWKS_URL=")

    def test_a_secret_can_be_read_from_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "secret"
            path.write_text("f" * 40 + "\n")
            self.assertEqual(read_settings(TOKEN | {"SECRET": "", "SECRET_FILE": str(path)}).secret, "f" * 40)
            self.refused(TOKEN | {"SECRET_FILE": str(path)}, "^SECRET and SECRET_FILE: set only one of them")
            path.write_bytes(b"\xff" * 40)
            self.refused(TOKEN | {"SECRET": "", "SECRET_FILE": str(path)}, "^SECRET_FILE=.*is not text")
            self.refused(TOKEN | {"SECRET": "", "SECRET_FILE": folder + "/none"}, "^SECRET_FILE=.*No such file")

    def test_a_rate_is_a_number_of_requests_in_a_time_or_off(self) -> None:
        for name in ("RATE_KEY", "RATE_USER", "RATE_ADDRESS"):
            for text in ("many", "5", "-1/minute", "5/fortnight"):
                self.refused({name: text}, f"^{name}=")
