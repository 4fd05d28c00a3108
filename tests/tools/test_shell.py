"""Commands read without running them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.tools import command_action, parse_command


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("ls -la", ["ls"]),
        ("cd src && python -m pytest -q | tail -5; echo done", ["cd", "python", "tail", "echo"]),
        ("FOO=1 BAR='a b' make test", ["make"]),
        ("sudo -u root env X=1 timeout -k 5 10 /usr/bin/rm -rf build", ["rm"]),
        ("find . -name '*.pyc' | xargs -n 1 rm", ["find", "rm"]),
        ("bash -lc 'git push && curl http://x'", ["bash", "git", "curl"]),
        ("echo $(git rev-parse HEAD) `whoami`", ["echo", "git", "whoami"]),
        ('echo "a; rm -rf / $(uname)"', ["echo", "uname"]),
        ("echo 'rm -rf /' # rm", ["echo"]),
        ("if grep -q x f; then sed -i s/x/y/ f; fi", ["grep", "sed"]),
        ("(cd a && rm b) || exit 1", ["cd", "rm", "exit"]),
        ("python3 - <<'EOF'\nimport os; os.remove('x')\nrm -rf y\nEOF\nls", ["python3", "ls"]),
        ("cat <<-END > out.txt\n\tbody\n\tEND\nwc out.txt", ["cat", "wc"]),
        ("bash <<'EOF'\nrm x\nEOF\n", ["bash", "rm"]),
        ("r\\m x; 'r'm y", ["rm", "rm"]),
        ("echo $((1 + 2))", ["echo"]),
        ("rm \\\n  -f a", ["rm"]),
        ("> empty.txt", [""]),
        ("", []),
    ],
)
def test_programs_are_found_where_the_shell_finds_them(command: str, programs: list[str]) -> None:
    assert [one.program for one in parse_command(command)] == programs


def test_redirections_flags_subcommands_and_here_documents() -> None:
    (cat,) = parse_command("cat <<'EOF' >> notes.md 2>/dev/null < in.txt\nline $x\nEOF\n")
    assert cat.written == ("notes.md",)
    assert cat.read == ("in.txt",)
    assert cat.here_documents[0].text == "line $x\n"
    (git,) = parse_command("git -C sub push --force=yes -uf origin 2>&1")
    assert git.flags == ("-C", "--force", "-uf", "-u", "-f")
    assert git.written == ()
    (rm,) = parse_command("sudo rm -rf a")
    assert rm.wrapped_by == ("sudo",)
    assert rm.flags == ("-rf", "-r", "-f")
    assert parse_command("git commit -m x")[0].subcommand == "commit"


def test_an_action_names_what_policies_look_at() -> None:
    action = command_action("cd src && echo hi > out.txt | tee b")
    assert (action.kind, action.programs, action.paths) == ("command", ("cd", "echo", "tee"), ("out.txt",))
    assert action.arguments == {"command": "cd src && echo hi > out.txt | tee b"}


@given(st.text(alphabet="ab $()`'\"\\<>|&;\n#=-/{}EOF", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_is_too_odd(text: str) -> None:
    for one in parse_command(text):
        assert isinstance(one.program, str)
