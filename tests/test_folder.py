"""Where ferkit keeps what it may compute again."""

from ferkit.folder import default_folder


def test_the_default_folder_follows_the_desktop_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "ferkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "ferkit"
    assert not default_folder().exists()
