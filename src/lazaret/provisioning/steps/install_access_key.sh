# Puts the public key that standard input brings into root's authorized_keys.
# Looks before it writes: on a conflict it prints one sentence, changes nothing and exits with 10.
set -u
umask 077
refuse() { printf '%s\n' "$1"; exit 10; }
IFS= read -r key || refuse "No key was given."
home=$(getent passwd "$(id -un)" | cut -d: -f6)
dir=$home/.ssh
file=$dir/authorized_keys
material=$(printf '%s\n' "$key" | cut -d' ' -f1,2)

[ -n "$home" ] && [ -d "$home" ] || refuse "The home directory of $(id -un) does not exist."
for path in "$home" "$dir" "$file"; do
  [ -L "$path" ] && [ "$path" != "$home" ] && refuse "$path is a symbolic link; make it a plain file or directory."
  [ -e "$path" ] || continue
  [ "$(stat -c %u "$path")" = "$(id -u)" ] || refuse "$path belongs to $(stat -c %U "$path"), not to $(id -un); sshd would ignore the key. Cure: chown $(id -un) $path"
  case $(stat -c %A "$path") in ?????w????|????????w?) refuse "$path may be written by others; sshd would ignore the key. Cure: chmod go-w $path" ;; esac
done
if [ -e "$file" ] && grep -F -- "$material" "$file" | grep -qv "^$(printf '%s' "$material" | cut -c1-20)"; then
  refuse "$file holds our key with restrictions in front of it. Remove that line first."
fi
available=$(df -Pk "$home" | awk 'NR==2 {print $4}')
[ "${available:-0}" -ge 64 ] || refuse "The disk of $home is full. Free some space first."

if [ -e "$file" ] && grep -qF -- "$material" "$file"; then exit 0; fi
mkdir -p "$dir" || refuse "$dir cannot be made: the file system may be read-only."
draft=$file.lazaret.$$
{ [ ! -e "$file" ] || cat "$file"; } > "$draft" 2>/dev/null || { rm -f "$draft"; refuse "$dir cannot be written: the file system may be read-only or full."; }
[ ! -s "$draft" ] || [ -z "$(tail -c 1 "$draft")" ] || echo >> "$draft"
printf '%s\n' "$key" >> "$draft" && chmod 600 "$draft" && mv "$draft" "$file" && exit 0
rm -f "$draft"
refuse "$file cannot be replaced; is it immutable (lsattr)?"
