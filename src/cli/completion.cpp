// Completion scripts for bash, zsh and fish, written from the table of commands. Names of models,
// endpoints, routes and sources come from `corral __complete KIND`, which prints only names that do
// no harm on a command line; the scripts never let a shell evaluate them. Behind a name that ends
// with a slash more follows, so no space is put there.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/commands.hpp"

namespace corral::cli {

namespace {

std::string names(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> out;
  out.reserve(commands.size());
  for (const CommandInfo& command : commands) out.push_back(command.name);
  return join(out, " ");
}

std::string names(const std::vector<OptionInfo>& options) {
  std::vector<std::string> out;
  for (const OptionInfo& option : options) {
    if (option.name != "--help") out.push_back(option.name);  // every command has it
  }
  return join(out, " ");
}

// Calls `visit(words, command)` for each command below the root: "serve", "config check", ...
template <class Visit>
void for_each_command(const CommandInfo& at, const std::string& words, Visit visit) {
  for (const CommandInfo& child : at.children) {
    std::string path = words.empty() ? child.name : words + " " + child.name;
    visit(path, child);
    for_each_command(child, path, visit);
  }
}

// Names of all options whose value is a `kind`, for a shell pattern: "--config|--api-key-file".
std::string options_of_kind(const CommandInfo& root, std::string_view kind) {
  std::vector<std::string> found;
  auto add = [&](const CommandInfo& command) {
    for (const OptionInfo& option : command.options) {
      bool wanted = kind.empty() ? !option.value.empty() : option.value == kind;
      if (wanted && std::ranges::find(found, option.name) == found.end()) {
        found.push_back(option.name);
      }
    }
  };
  add(root);
  for_each_command(root, "", [&](const std::string&, const CommandInfo& command) { add(command); });
  return join(found, "|");
}

// Commands with commands below them, for a shell pattern: "config|endpoints".
std::string groups_of(const CommandInfo& root, std::string_view separator) {
  std::vector<std::string> found;
  for (const CommandInfo& child : root.children) {
    if (!child.children.empty()) found.push_back(child.name);
  }
  return join(found, separator);
}

// Names that the server knows, as opposed to those of files.
bool takes_names(const CommandInfo& command) {
  return !command.takes.empty() && command.takes != "files";
}

std::string bash_words(const CommandInfo& command) {
  std::vector<std::string> parts{names(command.children), join(command.choices, " "),
                                 names(command.options)};
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : " ") + part;
  }
  return out;
}

std::string bash_script(const CommandInfo& root) {
  std::string cases;
  for_each_command(root, "", [&](const std::string& path, const CommandInfo& command) {
    cases += fmt::format("    \"{}\") words=\"{}\"{} ;;\n", path, bash_words(command),
                         command.takes.empty() ? "" : "; takes=" + command.takes);
  });
  return fmt::format(R"(# bash completion for corral
_corral() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="" words="" takes="" positionals=0 i name
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in
      {0}) ((i++)) ;;
      -*) ;;
      *)
        if [[ -z "$command" ]]; then command="${{COMP_WORDS[i]}}"
        elif [[ "$command" == @({6}) ]]; then command+=" ${{COMP_WORDS[i]}}"
        else ((positionals++)); fi ;;
    esac
  done
  COMPREPLY=()
  case "$previous" in
    {1}) COMPREPLY=($(compgen -f -- "$current")); return ;;
    {2}) COMPREPLY=($(compgen -d -- "$current")); return ;;
    {0}) return ;;
  esac
  case "$command" in
    "") words="{3}" ;;
{5}  esac
  COMPREPLY=($(compgen -W "$words {4} --help" -- "$current"))
  if [[ "$takes" == files ]]; then
    ((positionals)) || COMPREPLY+=($(compgen -f -- "$current"))
  elif [[ -n "$takes" ]] && ((positionals == 0)); then
    while IFS= read -r name; do
      [[ "$name" == "$current"* ]] && COMPREPLY+=("$name")
    done < <(corral __complete "$takes" 2>/dev/null)
  fi
  # More follows.
  [[ ${{#COMPREPLY[@]}} == 1 && "${{COMPREPLY[0]}}" == */ ]] && compopt -o nospace
  # A colon begins a new word in bash.
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$current"; fi
}}
complete -o filenames -F _corral corral
)",
                     options_of_kind(root, ""), options_of_kind(root, "FILE"),
                     options_of_kind(root, "DIR"), names(root.children), names(root.options), cases,
                     groups_of(root, "|"));
}

// For single quotes in zsh and fish; zsh takes [ ] : in descriptions as its own.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string zsh_option(const OptionInfo& option) {
  std::string value;
  if (option.value == "FILE") {
    value = ":file:_files";
  } else if (option.value == "DIR") {
    value = ":folder:_files -/";
  } else if (!option.value.empty()) {
    value = fmt::format(":{}:", zsh_text(to_lower(option.value)));
  }
  return fmt::format("      '*{}[{}]{}' \\\n", option.name, zsh_text(option.description), value);
}

std::string zsh_commands(const CommandInfo& at) {
  std::string out;
  for (const CommandInfo& child : at.children) {
    out += fmt::format("    '{}:{}'\n", child.name, zsh_text(child.description));
  }
  return out;
}

std::string zsh_case(const CommandInfo& root, const std::string& path, const CommandInfo& command) {
  std::string out = fmt::format("    '{}')\n      _arguments \\\n", path);
  for (const OptionInfo& option : command.options) out += zsh_option(option);
  for (const OptionInfo& option : root.options) {
    if (option.name != "--help") out += zsh_option(option);
  }
  if (command.takes == "files") out += "      '1:file:_files' \\\n";
  if (takes_names(command)) {
    out += fmt::format("      '1:name: _corral_names {}' \\\n", command.takes);
  }
  if (!command.choices.empty()) {
    out += fmt::format("      '1:word:({})' \\\n", join(command.choices, " "));
  }
  return out + "      && return ;;\n";
}

std::string zsh_script(const CommandInfo& root) {
  std::string cases;
  std::string groups;
  for_each_command(root, "", [&](const std::string& path, const CommandInfo& command) {
    if (command.acts) cases += zsh_case(root, path, command);
    if (!command.children.empty()) {
      groups += fmt::format("      {})\n        _commands=(\n{}        ) ;;\n", command.name,
                            zsh_commands(command));
    }
  });
  return fmt::format(R"zsh(#compdef corral
# zsh completion for corral
_corral_names() {{
  local -a names begun
  names=(${{(f)"$(corral __complete "$1" 2>/dev/null)"}})
  begun=(${{(M)names:#*/}})
  names=(${{names:#*/}})
  compadd -a names
  compadd -S '' -a begun
}}
_corral() {{
  local -a _commands
  local command
  if ((CURRENT == 2)); then
    _commands=(
{}    )
    _describe -t commands command _commands
    return
  fi
  command="$words[2]"
  case "$command" in
{}  esac
  if (($#_commands)); then
    if ((CURRENT == 3)) && [[ "$words[3]" != -* ]]; then
      _describe -t commands command _commands
      return
    fi
    if [[ "$words[3]" != -* ]]; then
      command="$command $words[3]"
      shift words
      ((CURRENT--))
    fi
  fi
  shift words
  ((CURRENT--))
  case "$command" in
{}  esac
}}
if [[ "$funcstack[1]" == _corral ]]; then
  _corral "$@"
else
  compdef _corral corral
fi
)zsh",
                     zsh_commands(root), groups, cases);
}

std::string fish_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string fish_option(std::string_view condition, const OptionInfo& option) {
  std::string value;
  if (option.value == "FILE") {
    value = " -r -F";
  } else if (option.value == "DIR") {
    value = " -x -a '(__fish_complete_directories)'";
  } else if (!option.value.empty()) {
    value = " -x";
  }
  return fmt::format("complete -c corral{} -l {}{} -d '{}'\n", condition, option.name.substr(2),
                     value, fish_text(option.description));
}

// The words so far that are neither options nor their values.
std::string fish_helpers(const CommandInfo& root) {
  std::string valued = options_of_kind(root, "");
  std::ranges::replace(valued, '|', ' ');
  return fmt::format(R"fish(# fish completion for corral
function __corral_words
    set -l words (commandline -opc)
    set -l value 0
    for word in $words[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case {}
                set value 1
            case '-*'
            case '*'
                echo $word
        end
    end
end
# Whether the line is within this command, or right behind it.
function __corral_in
    set -l words (__corral_words)
    test (count $words) -ge (count $argv); and test "$words[1..(count $argv)]" = "$argv"
end
function __corral_at
    set -l words (__corral_words)
    test "$words" = "$argv"
end
complete -c corral -f
)fish",
                     valued);
}

std::string fish_script(const CommandInfo& root) {
  std::string out = fish_helpers(root);
  for (const OptionInfo& option : root.options) out += fish_option("", option);
  auto add_child = [&](const std::string& at, const CommandInfo& child) {
    out += fmt::format("complete -c corral -n '__corral_at{}' -a {} -d '{}'\n", at, child.name,
                       fish_text(child.description));
  };
  for (const CommandInfo& child : root.children) add_child("", child);
  for_each_command(root, "", [&](const std::string& path, const CommandInfo& command) {
    std::string here = fmt::format(" -n '__corral_at {}'", path);
    for (const CommandInfo& child : command.children) add_child(" " + path, child);
    for (const std::string& choice : command.choices) {
      out += fmt::format("complete -c corral{} -a {}\n", here, choice);
    }
    if (takes_names(command)) {
      out += fmt::format("complete -c corral{} -a '(corral __complete {} 2>/dev/null)'\n", here,
                         command.takes);
    }
    if (command.takes == "files") out += fmt::format("complete -c corral{} -F\n", here);
    for (const OptionInfo& option : command.options) {
      if (option.name == "--help") continue;
      out += fish_option(fmt::format(" -n '__corral_in {}'", path), option);
    }
  });
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell, const CommandInfo& root) {
  if (shell == "bash") return bash_script(root);
  if (shell == "zsh") return zsh_script(root);
  return fish_script(root);
}

}  // namespace corral::cli
