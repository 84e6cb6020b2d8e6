#!/bin/sh
# What this tree does not contain.
. "$(dirname "$0")/lint.sh"

calls='strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca'
code=$(c_code $(c_files))

none 'no call that cannot know a length' \
    "$(echo "$code" | grep -E "[^[:alnum:]_]($calls)[[:blank:]]*\(")"
none 'comments are /* */' \
    "$(echo "$code" | grep '//')"
none 'no blank at the end of a line' \
    "$(tree_files | xargs grep -In '[[:blank:]]$')"
none 'no mark of a merge' \
    "$(tree_files | xargs grep -InE '^(<{7}|>{7}|={7})( |$)')"

# Where somebody worked, and from where he took the packages, is no matter of
# the tree's.  (Brackets keep the patterns from matching themselves.)
none 'no path of a private folder' \
    "$(tree_files | xargs grep -InE '/wor[k]/|/tmp/h[f]|/hom[e]/[a-z]')"
none 'no package registry' \
    "$(tree_files | xargs grep -InE 'py[p]i|crate[s]\.io|npm[j]s|artifactor[y]|proxy\.golan[g]')"

echo "1..$checks"
