#include "cli/option_text.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/option_table.h"
#include "cli/serve_options.h"
#include "engine/utf8.h"
#include "net/text_parts.h"

namespace karma::cli {

namespace {

constexpr const char* usage =
    "usage: karma [serve] [options]          runs the daemon\n"
    "       karma call OP NAME=VALUE...      sends a request to a running daemon; karma call --help\n"
    "       karma import FILE --series S     loads a CSV file into a running daemon; karma import --help\n"
    "       karma import DIR                 makes a database of an export or a Karma 1.0 directory\n"
    "       karma reconcile FILE --series S  compares a CSV file with it; karma reconcile --help\n"
    "       karma history                    lists its events; karma history --help\n"
    "       karma export OUT                 writes its data to files; karma export --help\n"
    "       karma backup DIR                 makes a verified copy of it; karma backup --help\n"
    "       karma verify DIR                 checks a stopped daemon's data; karma verify --help\n"
    "       karma replay DIR                 rebuilds an earlier state of it; karma replay --help\n"
    "       karma promote                    makes a follower the master; karma promote --help\n"
    "       karma ping, karma health         checks that it answers, that it is healthy; --wait waits\n"
    "       karma status                     its state at a glance; karma status --help\n"
    "       karma help SUBCOMMAND            the options of a subcommand\n"
    "       karma --version | --help\n"
    "\n"
    "An option that is not given is taken from its environment variable, then from the configuration file. "
    "Defaults are in\nparentheses.\n";

/// What `karma serve` does beside serving.
constexpr const char* actions =
    "\nInstead of serving:\n"
    "  --print-config\n"
    "      print the options in force as a TOML file with comments, without tokens\n"
    "  --check-config\n"
    "      check command line, environment, configuration file and token files: status 0, or 1 with what is "
    "wrong\n";

constexpr const char* reference_introduction = R"(# Configuration

All options of the daemon, `karma serve`. This page is generated: `karma serve --help=markdown` prints it, and
`karma --help` prints the same for a terminal. `karma help SUBCOMMAND` lists the options of the other subcommands.

An option is given on the command line, as `--port=8080` or `--port 8080`, in the environment, as `KARMA_PORT=8080`, or
in a configuration file, as `port = 8080`. The command line takes precedence over the environment, and the environment over
the file. Of an option that is given twice on the command line the last one counts. An empty variable counts as unset. A
boolean is `true`, `1`, `yes` or `on`, or `false`, `0`, `no` or `off`. A value that cannot be used ends the start with
status 2, and the message names the option, the variable, or the line of the file.

## The file

`--config=FILE` or `KARMA_CONFIG` names a TOML file. Without either, the daemon reads `karma.toml` in the working directory, if
there is one. `configuration_file` in the log names the file that was read.

<!-- check: run
mkdir -p /etc/karma
-->
```console
$ karma serve --port=9000 --log-level=warning --print-config >/etc/karma/karma.toml
$ grep -A 3 'log one JSON' /etc/karma/karma.toml
# log one JSON ...
...
$ karma serve --config=/etc/karma/karma.toml --check-config
ok: /etc/karma/karma.toml
```

`--print-config` prints all options with the values in force and comments. The output can be used as a file, which gives the
same options except tokens, which are not shown. Defaults that depend on the machine are commented out. `--check-config` checks
the options and the files that they name, and ends with status 0, or prints what is wrong and ends with status 1.

Keys are the names of the options with `_` in place of `-`. They stand before all tables, or in the table of their section
below, where they may be written without the name of the table. These three mean the same:

```toml
log_level = "warning"
```

```toml
[log]
log_level = "warning"
```

```toml
[log]
level = "warning"
```

Booleans, whole numbers and texts are those of TOML; seconds may have a fraction. The daemon refuses a key that is no option, a
value of another type and an option that is in the file twice, and names the line of the file.

SIGHUP makes the daemon read the environment, the file, the token files and the certificates again. Tokens, `--log` and
`--log-level` take effect at once, for all connections, and certificates for new ones; the daemon logs `reloaded`.
`needs_restart` in the log names other options that have changed. When something is wrong, the daemon logs `reload_failed` with
the reason, and changes nothing.

## Tokens

`--auth-token` allows everything, `--read-auth-token` reading. The file can have further tokens, up to 256:

```toml
[[token]]
name = "shop"
token_file = "/run/secrets/shop-token"
access = "write"
series = ["shop.*", "links"]

[[token]]
name = "dashboard"
token = "not a secret any more"
access = "read"
```

| key | |
| --- | --- |
| `name` | a name for people, 1 to 200 bytes, different for each token |
| `token`, `token_file` | one of them: the token, or a file whose only line it is |
| `access` | `read`: ops that change nothing. `write`: all ops but those of an administrator. `admin`: also `snapshot.load` and those of replication that another node or an operator sends (`replication.subscribe`, `.promote`, `.fence`, `.promise`, `.forget_follower`, `.verify`, `idempotency.snapshot_fetch_chunk`) |
| `series` | patterns: each series that a request names has to match one of them. `*` stands for any characters, `?` for one. Without it: all series. Not with `admin` |

Requests about other series, or about all of them, are `forbidden` for a token with `series`: lists of series, snapshots of everything,
statistics, events without a series, exports, ingest streams. `system.ping` and `system.health` are allowed.

## Embedded

A program that embeds the database (`persist/database.h`) has the same defaults, except those that depend on the machine:
there is no limit of series and ingest streams.
)";

std::string names_of(const Option& option) {
    const std::string name = std::string("`--") + option.name + "`";
    return option.short_name == 0 ? name : name + ", `-" + option.short_name + "`";
}

/// A default that is a value looks like one; words that describe it do not.
std::string marked_default(const Option& option) {
    const std::string text = default_of(option);
    return option.default_text != nullptr || text == "none" ? text : "`" + text + "`";
}

std::string meaning_of(const Option& option) {
    std::string text = option.help;
    if (option.is_reloaded && text.find("SIGHUP") == std::string::npos) {
        text += "; read again on SIGHUP";
    }
    if (option.is_secret) {
        text += ". Other users of the machine may see it: prefer the file";
    }
    return text;
}

std::string table_of(const OptionSection& section) {
    return *section.table == '\0' ? std::string()
                                  : std::string("\n\nIn the file: `[") + section.table + "]`.";
}

/// A text as TOML writes it.
std::string toml_string(const std::string& text) {
    constexpr const char* digits = "0123456789ABCDEF";
    std::string quoted = "\"";
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (code < ' ' || code == 0x7f) {
            quoted += "\\u00";
            quoted += digits[code >> 4U];
            quoted += digits[code & 15U];
        } else {
            quoted += c;
        }
    }
    return quoted + '"';
}

/// Comment lines of at most some hundred characters.
void print_comment(std::ostream& out, const std::string& text) {
    constexpr std::size_t width = 100;
    std::string_view rest = text;
    while (!rest.empty()) {
        std::size_t end = rest.size();
        if (end > width) {
            const std::size_t space = rest.rfind(' ', width);
            end = space == std::string_view::npos ? end : space;
        }
        out << "# " << rest.substr(0, end) << "\n";
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
}

/// The array of the texts of a list.
std::string toml_array(std::string_view list) {
    std::string array = "[";
    net::for_each_part(list, ',', [&](std::string_view text) {
        array.append(array.size() == 1 ? "" : ", ").append(toml_string(std::string(text)));
    });
    return array + "]";
}

/// The line of an option, commented out where it would say nothing, or too much.
void print_value(std::ostream& out, const Option& option, const ServeOptions& options,
                 const ServeOptions& defaults) {
    const std::string text = option.value.get(options);
    const std::string key = key_of(option);
    if (option.is_secret && !text.empty()) {
        out << "# " << key << " is set, and not shown\n";
        return;
    }
    if (!is_utf8(text)) {
        out << "# " << key << " is no UTF-8, as TOML wants it, and not shown\n";
        return;
    }
    const bool is_machine_default = option.default_text != nullptr && text == option.value.get(defaults);
    if (text.empty() || is_machine_default) {
        out << "# ";
    }
    if (option.value.kind == OptionKind::list) {
        out << key << " = " << toml_array(text) << "\n";
        return;
    }
    const bool is_quoted = option.value.kind == OptionKind::text || text.empty();
    out << key << " = " << (is_quoted ? toml_string(text) : text) << "\n";
}

void print_section(std::ostream& out, const OptionSection& section, const ServeOptions& options,
                   const ServeOptions& defaults) {
    for (const Option& option : section.options) {
        if (!option.is_in_file) {
            continue;
        }
        out << "\n";
        print_comment(out, std::string(option.help) + " (" + option.value.allowed +
                               "; default: " + default_of(option) + "; " + option.variable + ")");
        print_value(out, option, options, defaults);
    }
}

void print_tokens(std::ostream& out, const std::vector<TokenEntry>& tokens) {
    out << "\n# Further tokens are tables: docs/configuration.md. They are not shown.\n";
    for (const TokenEntry& entry : tokens) {
        out << "# [[token]]\n# name = " << toml_string(entry.token.name) << "\n";
    }
}

}  // namespace

void print_serve_help(std::ostream& out) {
    out << usage;
    for (const OptionSection& section : option_sections()) {
        out << "\n" << section.title << ":\n";
        for (const Option& option : section.options) {
            out << "  ";
            if (option.short_name != 0) {
                out << '-' << option.short_name << ", ";
            }
            out << "--" << option.name << '=' << option.argument << "   [" << option.variable << "]\n      "
                << option.help << " (" << default_of(option) << ")\n";
        }
    }
    out << actions;
}

void print_config(std::ostream& out, const ServeOptions& options) {
    const ServeOptions defaults = default_serve_options();
    print_comment(out,
                  std::string("The options of karma " KARMA_VERSION " in force") +
                      (options.config_file.empty() ? "." : ", with those of " + options.config_file + "."));
    // Keys without a table have to stand before all tables.
    for (const bool has_table : {false, true}) {
        std::string_view table;
        for (const OptionSection& section : option_sections()) {
            if ((*section.table != '\0') != has_table) {
                continue;
            }
            if (section.table != table) {
                table = section.table;
                out << "\n[" << table << "]\n";
            }
            print_section(out, section, options, defaults);
        }
    }
    print_tokens(out, options.tokens);
}

void print_option_reference(std::ostream& out) {
    out << reference_introduction;
    for (const OptionSection& section : option_sections()) {
        out << "\n## " << section.title << table_of(section)
            << "\n\n| option | environment | value | default | |\n| --- | --- | --- | --- | --- |\n";
        for (const Option& option : section.options) {
            out << "| " << names_of(option) << " | `" << option.variable << "` | " << option.value.allowed
                << " | " << marked_default(option) << " | " << meaning_of(option) << " |\n";
        }
    }
}

}  // namespace karma::cli
