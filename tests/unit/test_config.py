"""Settings: read from the environment, checked, refused in one line."""

import unittest

from discount.config import Settings, SettingsError, read_settings


class Reading(unittest.TestCase):
    def test_an_empty_environment_gives_what_is_usual(self) -> None:
        self.assertEqual(read_settings({}), Settings())
        self.assertEqual((Settings().partitions, Settings().host, Settings().port), (16, "127.0.0.1", 8000))

    def test_each_setting_is_read_from_its_variable(self) -> None:
        given = {
            "REDIS_URL": "unix:///a/socket",
            "REDIS_TIMEOUT": "0.5",
            "PARTITIONS": "256",
            "HOST": "::1",
            "PORT": "0",
            "WORKERS": "3",
            "THREADS": "1",
            "DATA": "/data",
            "PROXIES": "2",
            "LOG_FORMAT": "text",
            "LOG_LEVEL": "debug",
        }
        self.assertEqual({name.upper() for name in Settings.__struct_fields__}, set(given))
        self.assertEqual(
            read_settings(given),
            Settings("unix:///a/socket", 0.5, 256, "::1", 0, 3, 1, "/data", 2, "text", "debug"),
        )

    def test_an_empty_variable_counts_as_not_set(self) -> None:
        self.assertEqual(read_settings({"PORT": "", "HOST": "", "LOG_FORMAT": ""}), Settings())

    def test_other_variables_do_not_matter(self) -> None:
        self.assertEqual(read_settings({"PATH": "/bin", "PORT_": "x"}), Settings())

    def test_lower_case_variables_do_not_matter(self) -> None:
        self.assertEqual(read_settings({"port": "9"}), Settings())

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
        }
        for name, values in wrong.items():
            for value in values:
                with self.subTest(f"{name}={value!r}"):
                    with self.assertRaises(SettingsError) as caught:
                        read_settings({name: value})
                    self.assertTrue(str(caught.exception).startswith(f"{name}="), str(caught.exception))
                    self.assertNotIn("\n", str(caught.exception))

    def test_a_wrong_value_is_shown(self) -> None:
        with self.assertRaisesRegex(SettingsError, r"^PORT='http': .*int"):
            read_settings({"PORT": "http"})

    def test_a_password_in_a_wrong_redis_url_is_not_shown(self) -> None:
        with self.assertRaises(SettingsError) as caught:
            read_settings({"REDIS_URL": "http://user:hush@host"})
        self.assertNotIn("hush", str(caught.exception))
