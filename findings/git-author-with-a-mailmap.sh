#!/usr/bin/env bash
# git 2.23 and later (seen with 2.39.5): a .mailmap decides which commits `git log --author` finds, but not what it prints.
#
# Expected: --author selects by the name that the commit has and that %an prints; .mailmap is for those who ask for %aN or --use-mailmap.
# Seen:     log.mailmap is on, and with it --author and --committer compare the mapped name only, while %an and %ae print the recorded one:
#           a name that was read from %an finds not one of its own commits. The file of the branch that is checked out counts for
#           all revisions, so the same question about the same commits has another answer after `git switch`. `git rev-list` and
#           `git shortlog` select by the recorded name: three commands, two numbers.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 HOME="$folder"
git init --quiet .
commit() { git -c user.name="$1" -c user.email="$2" commit --quiet --allow-empty --message change; }
count() { git log main "$@" --format=%h | wc -l | tr -d ' '; }

git symbolic-ref HEAD refs/heads/main
commit "Ana Old" old@example.org
commit "Ana Old" old@example.org
commit "Ana New" new@example.org
git branch before
printf 'Ana New <new@example.org> Ana Old <old@example.org>\n' > .mailmap
git add .mailmap
commit "Ana New" new@example.org

git --version
printed="$(git log main --format=%an | grep -c 'Ana Old')"
with="$(count --author='Ana Old')"
address="$(count --author='old@example.org')"
without="$(count --no-mailmap --author='Ana Old')"
listed="$(git rev-list --count --author='Ana Old' main)"
short="$(git shortlog --summary --author='Ana Old' main | awk '{print $1}')"
git switch --quiet before
switched="$(count --author='Ana Old')"

echo "expected: of the commits of main, --author='Ana Old' finds those for which %an prints Ana Old"
echo "seen:     git log --format=%an prints Ana Old for $printed commits; git log --author='Ana Old' finds $with, by the address $address"
echo "          the same from a branch without the file: $switched; with --no-mailmap: $without"
echo "          git rev-list --author: $listed, git shortlog --author: $short"
if [ "$printed $with $address $without $listed $short $switched" != "2 0 0 2 2 2 2" ]; then
  echo "this is no longer so"
  exit 1
fi
