#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "cli/command_line.h"
#include "cli/option_table.h"
#include "cli/option_values.h"
#include "net/endpoint_url.h"
#include "net/text_parts.h"

namespace karma::cli {

namespace {

OptionValue listener_urls() {
    OptionValue value;
    value.kind = OptionKind::list;
    value.allowed = "URLs: karma://HOST:PORT, karmas://HOST:PORT or unix:PATH";
    value.set = [](ServeOptions& options, const std::string& text, const std::string& source) {
        std::vector<net::EndpointUrl> urls;
        net::for_each_part(text, ',', [&](std::string_view url) {
            try {
                urls.push_back(net::parse_endpoint_url(url));
            } catch (const std::invalid_argument& wrong) {
                throw UsageError(source + ": " + wrong.what());
            }
            if (urls.back().transport != net::Transport::unix_socket && urls.back().port == 0) {
                throw UsageError(source + ": \"" + std::string(url) + "\" names no port");
            }
        });
        options.server.listen = std::move(urls);
    };
    value.get = [](const ServeOptions& options) {
        std::string text;
        for (const net::EndpointUrl& url : options.server.listen) {
            text.append(text.empty() ? "" : ",").append(net::url_text(url));
        }
        return text;
    };
    return value;
}

OptionSection listeners_section() {
    return {
        "Listeners",
        "",
        {
            {.name = "listen",
             .variable = "KARMA_LISTEN",
             .argument = "URL",
             .value = listener_urls(),
             .help = "a further address on which the daemon listens, besides --bind and --port "
                     "(which are left out with --port=0): karma://HOST:PORT; karmas://HOST:PORT "
                     "for TLS; unix:PATH for a Unix socket to which its user and group may "
                     "connect. HOST may be * for all addresses. For several, give the option "
                     "several times, or URLs with commas between them"},
        },
    };
}

OptionSection tls_section() {
    return {
        "TLS",
        "tls",
        {
            {.name = "tls-cert",
             .variable = "KARMA_TLS_CERT",
             .argument = "FILE",
             .value = text(
                 [](auto& o) -> auto& { return o.server.tls.certificate; }, "the name of a PEM file"),
             .help = "certificate of the karmas:// listeners, followed by the certificates that "
                     "sign it; read again on SIGHUP",
             .is_reloaded = true},
            {.name = "tls-key",
             .variable = "KARMA_TLS_KEY",
             .argument = "FILE",
             .value = text(
                 [](auto& o) -> auto& { return o.server.tls.key; }, "the name of a PEM file"),
             .help = "private key of the certificate, without a passphrase; read again on SIGHUP",
             .is_reloaded = true},
            {.name = "tls-ca",
             .variable = "KARMA_TLS_CA",
             .argument = "FILE",
             .value = text(
                 [](auto& o) -> auto& { return o.server.tls.authorities; }, "the name of a PEM file"),
             .help = "authorities: with this option each client of these listeners needs a "
                     "certificate that one of them has signed; read again on SIGHUP",
             .is_reloaded = true},
        },
    };
}

}  // namespace

std::vector<OptionSection> listener_option_sections() { return {listeners_section(), tls_section()}; }

namespace {

bool has_files(const net::TlsFiles& files) {
    return !files.certificate.empty() || !files.key.empty() || !files.authorities.empty();
}

void check_pair(const net::TlsFiles& files, const std::string& prefix) {
    if (files.certificate.empty() != files.key.empty()) {
        throw UsageError(prefix + "cert and " + prefix + "key belong together: one of them is missing");
    }
}

}  // namespace

void check_tls(ServeOptions& options) {
    const bool listens = std::ranges::any_of(options.server.listen, [](const net::EndpointUrl& url) {
        return url.transport == net::Transport::tls;
    });
    check_pair(options.server.tls, "--tls-");
    check_pair(options.replication_tls_files, "--replication-tls-");
    if (listens && options.server.tls.certificate.empty()) {
        throw UsageError("--listen=karmas://…: needs --tls-cert and --tls-key");
    }
    if (!listens && has_files(options.server.tls)) {
        options.warnings.emplace_back(
            "--tls-cert, --tls-key and --tls-ca have no effect without "
            "--listen=karmas://HOST:PORT");
    }
    if (!options.replication_tls && has_files(options.replication_tls_files)) {
        throw UsageError(
            "--replication-tls-ca, --replication-tls-cert and --replication-tls-key need "
            "--replication-tls=true");
    }
}

}  // namespace karma::cli
