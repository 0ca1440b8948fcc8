# SPDX-License-Identifier: Apache-2.0
#
# Shows a header of Skua to Doxygen, line by line: its comments are plain ones, as people read them.
#
#   // text             /// text                 what Doxygen takes for documentation
#   // SPDX...          /// \file                so that what follows is that of the file
#   // Errors: x        /// - **Errors:** x      the parts of a contract become a list
#   //   code           ///     code             an example, after an empty line: a block of code in Markdown
#   x;  // text         x;  ///< text            about what stands before it

# What Doxygen would take for a command, a tag or a link.
function escaped(text) {
  gsub(/[\\@<>#%~|]/, "\\\\&", text)
  gsub(/"/, "\\\"", text)
  return text
}

function heading(text) {
  return match(text, /^ (Returns|Errors|Cancellation|Threads|Memory ordering|Lifetime|Requires|Limits|Resolution|Beware)[^:.;]*:/)
}

NR == 1 && /^\/\/ SPDX/ { print "/// \\file"; next }

/^ *\/\// {
  indentation = $0
  sub(/\/\/.*/, "", indentation)
  text = $0
  sub(/^ *\/\//, "", text)
  if (text == "" || text == " ") {
    after_empty = 1
    print indentation "///"
    next
  }
  if (text ~ /^   / && (after_empty || in_code)) {
    in_code = 1
    print indentation "///  " text
  } else if (heading(text)) {
    in_code = 0
    print indentation "/// - **" escaped(substr(text, 2, RLENGTH - 1)) "**" escaped(substr(text, RLENGTH + 1))
  } else {
    in_code = 0
    print indentation "///" escaped(text)
  }
  after_empty = 0
  next
}

# Of no interest to a reader, and Doxygen takes the type for a function.
/^ *friend (class )?[A-Za-z_:<>]+;/ { print ""; next }

{
  after_empty = 0
  in_code = 0
  # Behind a declaration, and not behind a statement of a body, a preprocessor line or a URL.
  if (match($0, /[;,{}()]  \/\/ /) && $0 !~ /^ *#/) {
    print substr($0, 1, RSTART) "  ///< " escaped(substr($0, RSTART + RLENGTH))
  } else {
    print
  }
}
