#include "cli/call.h"

#include <iostream>
#include <iterator>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "cli/call_request.h"
#include "cli/client_options.h"
#include "cli/command_line.h"
#include "cli/daemon_reply.h"
#include "cli/json_text.h"
#include "cli/op_text.h"
#include "cli/text.h"
#include "net/client_connection.h"
#include "net/op_table.h"

namespace karma::cli {

namespace json = boost::json;
namespace po = boost::program_options;

namespace {

constexpr const char* call_usage =
    "Usage: karma call [options] OP [name=value]...\n"
    "       karma call [options] JSON\n"
    "       karma call [options] -            (reads the JSON from standard input)\n"
    "       karma call --ops                  (every op, with its fields)\n"
    "       karma call OP --help              (one op: fields, response, errors, an example)\n"
    "\n"
    "Sends one request to a running daemon and prints its response.\n"
    "\n"
    "  karma call system.ping\n"
    "  karma call counter.sum series=links key=42 range.from=20260101 range.to=20260131\n"
    "  karma call counter.batch_sum series=links 'keys=[1,2]'\n"
    "  karma call '{\"v\":2,\"op\":\"tree.list\"}'\n"
    "\n"
    "A value that is JSON is sent as such, any other as a string. Names of series and the\n"
    "like are always strings. A dotted name makes nested objects. Put -- before a value\n"
    "that begins with a dash. A field that the op does not take is refused, and nothing is sent.\n";

constexpr const char* ops_as_list = "list";
constexpr const char* ops_as_page = "markdown";

constexpr const char* exit_statuses =
    "\n"
    "Exit status: 0 success, 1 the daemon refused the request (standard error has\n"
    "\"error_code: message\"), or system.health is not ok, 2 wrong usage, 3 no connection or no reply.\n";

struct Call {
    ClientOptions client;
    std::string request;
    bool pretty = false;
    bool raw = false;
};

po::options_description call_options() {
    po::options_description output("Output");
    output.add_options()                                                    //
        ("pretty", po::bool_switch(), "indent a response that is JSON")     //
        ("raw", po::bool_switch(), "print the whole reply as it was sent")  //
        ("ops", po::value<std::string>()->implicit_value(ops_as_list, "markdown"),
         "print every op with its fields, those in brackets optional; markdown: the whole protocol as a "
         "page")  //
        ("help", po::bool_switch(), "print this help, or that of an op");
    po::options_description all;
    all.add(client_options_description()).add(output);
    return all;
}

/// What --ops asks for: the list of ops, or docs/protocol.md.
void print_description(const std::string& form, std::ostream& out) {
    if (form == ops_as_list) {
        print_ops(out);
    } else if (form == ops_as_page) {
        print_protocol_page(out);
    } else {
        throw UsageError("--ops=" + form + ": expected --ops or --ops=markdown");
    }
}

/// The help of the op that the arguments name; false where they name none.
bool print_help_of_op(const po::variables_map& values, std::ostream& out) {
    if (values.count("request") == 0) return false;
    const std::string& name = values["request"].as<std::vector<std::string>>().front();
    const net::Op* const op = net::find_op(name);
    if (op == nullptr) throw UsageError(cli::quoted(name) + " is no op: 'karma call --ops' lists all");
    print_op_help(out, *op);
    return true;
}

Call read_call(const po::variables_map& values, std::istream& in) {
    Call call;
    call.client = read_client_options(values);
    call.pretty = values["pretty"].as<bool>();
    call.raw = values["raw"].as<bool>();
    if (call.raw && call.pretty) throw UsageError("--raw and --pretty exclude each other");
    if (values.count("request") == 0) throw UsageError("what to call is missing: an op, JSON, or -");

    const auto& words = values["request"].as<std::vector<std::string>>();
    const bool from_input = words.front() == "-";
    if (!from_input && !looks_like_json(words.front())) {
        if (words.front().empty()) throw UsageError("the op is empty");
        if (words.front().find('=') != std::string::npos) {
            throw UsageError(cli::quoted(words.front()) + ": the op comes first, then name=value");
        }
        call.request = request_from_fields(words.front(), std::span<const std::string>(words).subspan(1),
                                           call.client.token);
        return call;
    }
    if (words.size() > 1)
        throw UsageError(cli::quoted(words[1]) + ": nothing may follow a request given as JSON");
    const std::string text =
        from_input ? std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>())
                   : words.front();
    call.request = request_from_json(text, call.client.token);
    return call;
}

void print_line(std::ostream& out, std::string_view text) {
    out << text;
    if (!text.ends_with('\n')) out << '\n';
    out.flush();
}

/// A health that is not "ok": the request succeeds, and what asks for it (a probe, a script) is to see that.
bool is_ill(const Call& call, const json::value& response) {
    boost::system::error_code failure;
    const json::value request = json::parse(call.request, failure);
    const json::object* const asked = failure ? nullptr : request.if_object();
    if (asked == nullptr || !response.is_object()) return false;
    return text_member(*asked, "op") == "system.health" &&
           text_member(response.get_object(), "status") != "ok";
}

int print_reply(const Call& call, std::string_view line, std::ostream& out, std::ostream& err) {
    boost::system::error_code failure;
    const json::value reply = json::parse(line, failure);
    const json::object* const object = failure ? nullptr : reply.if_object();
    const json::value* const success = object == nullptr ? nullptr : object->if_contains("success");
    const auto response_text = object == nullptr ? std::nullopt : member_text(line, "response");
    if (success == nullptr || !success->is_bool() || !response_text) {
        err << "karma call: " << address_of(call.client)
            << " answers something that is no reply of Karma: " << cli::quoted(line, 200) << '\n';
        return exit_no_reply;
    }
    const int status =
        success->as_bool() && !is_ill(call, object->at("response")) ? exit_success : exit_failure;
    if (call.raw) {
        print_line(out, line);
        return status;
    }
    const json::value& response = object->at("response");
    const std::string text = response.is_string() ? std::string(response.as_string())
                             : call.pretty        ? indented(*response_text)
                                                  : compact(*response_text);
    if (success->as_bool()) {
        print_line(out, text);
    } else {
        const json::value* const code = object->if_contains("error_code");
        print_line(err, (code != nullptr && code->is_string() ? std::string(code->as_string()) : "unknown") +
                            ": " + text);
    }
    return status;
}

}  // namespace

int run_call(std::span<const std::string> args, std::istream& in, std::ostream& out, std::ostream& err) {
    try {
        const po::options_description visible = call_options();
        po::options_description all;
        all.add(visible).add_options()("request", po::value<std::vector<std::string>>());
        po::positional_options_description positions;
        positions.add("request", -1);
        const po::variables_map values = parse_arguments(args, all, positions);
        if (values["help"].as<bool>()) {
            if (print_help_of_op(values, out)) return exit_success;
            out << call_usage << visible << exit_statuses;
            return exit_success;
        }
        if (values.count("ops") != 0) {
            print_description(values["ops"].as<std::string>(), out);
            return exit_success;
        }
        const Call call = read_call(values, in);
        net::ClientConnection connection = connect(call.client);
        connection.queue_line(call.request);
        return print_reply(call, connection.read_line(), out, err);
    } catch (const UsageError& error) {
        err << "karma call: " << error.what() << "\nTry 'karma call --help'.\n";
        return exit_usage;
    } catch (const net::ConnectionError& error) {
        err << "karma call: " << error.what() << '\n';
        return exit_no_reply;
    }
}

int call_main(std::span<const std::string> args) { return run_call(args, std::cin, std::cout, std::cerr); }

}  // namespace karma::cli
