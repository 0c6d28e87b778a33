"""The text that `discount run` prints once it is ready."""

import os
import tempfile
import unittest
from pathlib import Path

from discount.config import Settings
from discount.local.welcome import command_here, welcome

URL = "http://127.0.0.1:8000"
SECRET = "never to be shown, never to be shown"


class TheCommand(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clone = Path(folder.name, "my clone")
        self.programs = self.clone / ".venv" / "bin"
        self.programs.mkdir(parents=True)
        self.python = str(self.programs / "python")

    def install(self) -> None:
        (self.programs / "discount").touch(0o755)

    def test_is_named_relative_to_the_starting_folder(self) -> None:
        self.install()
        self.assertEqual(command_here(self.python, self.clone, os.defpath), ".venv/bin/discount")

    def test_is_named_by_its_absolute_path_from_another_folder(self) -> None:
        self.install()
        found = command_here(self.python, self.clone / "doc", os.defpath)
        self.assertEqual(found, f"'{self.programs}/discount'")

    def test_is_the_bare_name_when_it_is_on_the_path(self) -> None:
        self.install()
        elsewhere = self.clone / "bin"
        elsewhere.mkdir()
        (elsewhere / "discount").symlink_to(self.programs / "discount")
        self.assertEqual(command_here(self.python, self.clone, str(self.programs)), "discount")
        self.assertEqual(command_here(self.python, self.clone, str(elsewhere)), "discount")

    def test_is_not_another_program_of_that_name(self) -> None:
        self.install()
        elsewhere = self.clone / "bin"
        elsewhere.mkdir()
        (elsewhere / "discount").touch(0o755)
        self.assertEqual(command_here(self.python, self.clone, str(elsewhere)), ".venv/bin/discount")

    def test_is_the_module_where_it_was_not_installed(self) -> None:
        self.assertEqual(command_here(self.python, self.clone, os.defpath), ".venv/bin/python -m discount")


class TheText(unittest.TestCase):
    def test_shows_how_to_make_and_use_a_key_without_revealing_secrets(self) -> None:
        text = welcome(Settings(auth="token", admin_key=SECRET, secret=SECRET), URL, Path("var/mail"))
        self.assertIn(" brand create IKEA)\n", text)
        self.assertIn(f"""curl -XPOST '{URL}/discount' -H "Authorization: Bearer $KEY" """, text)
        self.assertNotIn(SECRET, text)

    def test_does_not_mention_e_mails_when_a_mail_server_is_set(self) -> None:
        self.assertNotIn("mails", welcome(Settings(smtp_url="smtp://mail.example"), URL, None))

    def test_names_the_folder_of_e_mails_if_the_command_would_not_find_it(self) -> None:
        self.assertIn("discount mails` lists", welcome(Settings(), URL, Path("var/mail")))
        elsewhere = Settings(data="/srv/my data")
        self.assertIn("discount mails '/srv/my data/mail'` lists", welcome(elsewhere, URL, Path("/srv/my data/mail")))
