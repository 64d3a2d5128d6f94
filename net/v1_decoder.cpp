#include "net/v1_decoder.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "engine/day.h"
#include "engine/utf8.h"
#include "net/authorize.h"
#include "net/op_table.h"

namespace karma::net {
namespace {

[[noreturn]] void refuse_v1(ErrorCode code, const std::string& message) { throw RequestError(code, message); }
[[noreturn]] void refuse_v1(const std::string& message) { refuse_v1(ErrorCode::validation_error, message); }

/// The fields of a request of v1. A field that is null is as one that is missing; one of another type is what
/// v1 calls invalid JSON, whether or not the command takes it.
struct V1Fields {
    explicit V1Fields(const boost::json::object& object)
        : command(text(object, "command").value_or("")),
          token(text(object, "token").value_or("")),
          tree_name(text(object, "tree_name").value_or("")),
          key(number(object, "key")),
          time_from(number(object, "time_from")),
          time_to(number(object, "time_to")) {}

    std::string_view tree() const {
        if (tree_name.empty()) {
            refuse_v1("Field tree_name is required");
        }
        return tree_name;
    }

    std::uint64_t required_key() const {
        if (!key) {
            refuse_v1("Field key is required");
        }
        return *key;
    }

    std::string_view command;
    std::string_view token;
    std::string_view tree_name;
    std::optional<std::uint64_t> key;
    std::optional<std::uint64_t> time_from;
    std::optional<std::uint64_t> time_to;
    std::size_t response_bytes_max = 0;

private:
    static const boost::json::value* find(const boost::json::object& object, std::string_view name) {
        const boost::json::value* const value = object.if_contains(name);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    static std::optional<std::string_view> text(const boost::json::object& object, std::string_view name) {
        const boost::json::value* const value = find(object, name);
        if (value == nullptr) {
            return std::nullopt;
        }
        if (!value->is_string()) {
            refuse_v1(ErrorCode::invalid_json, "Field " + std::string(name) + " must be a string");
        }
        return value->get_string();
    }

    static std::optional<std::uint64_t> number(const boost::json::object& object, std::string_view name) {
        const boost::json::value* const value = find(object, name);
        if (value == nullptr) {
            return std::nullopt;
        }
        if (value->is_uint64()) {
            return value->get_uint64();
        }
        if (!value->is_int64() || value->get_int64() < 0) {
            refuse_v1(ErrorCode::invalid_json,
                      "Field " + std::string(name) + " must be an integer from 0 to 18446744073709551615");
        }
        return static_cast<std::uint64_t>(value->get_int64());
    }
};

/// How many days of the calendar are written as a smaller number.
Day days_below(std::uint64_t yyyymmdd) noexcept {
    Day first = 0;
    Day end = max_day + 1;
    while (first != end) {
        const Day middle = first + (end - first) / 2;
        if (day_to_yyyymmdd(middle) < yyyymmdd) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first;
}

/// A range that a request names, from its first day to its last.
struct NamedRange {
    DayRange days;
    bool is_empty = false;  // it holds no day of the calendar
};

/// v1 compares numbers: 20200101 to 20991231 is a range as 0 to 99999999 is.
std::optional<NamedRange> optional_range(const V1Fields& f) {
    if (f.time_from.has_value() != f.time_to.has_value()) {
        refuse_v1("Fields time_from and time_to are required together");
    }
    if (!f.time_from) {
        return std::nullopt;
    }
    if (*f.time_from > *f.time_to) {
        refuse_v1("Field time_from must be less than or equal to time_to");
    }
    constexpr std::uint64_t above_all = 1'0000'00'00;
    const Day from = days_below(*f.time_from);
    const Day end = days_below(std::min(*f.time_to, above_all) + 1);
    if (from >= end) {
        // Behind the calendar: a range that a query can be asked about, and that holds nothing.
        return NamedRange{{max_day + 1, max_day + 1}, true};
    }
    return NamedRange{{from, end - 1}, false};
}

NamedRange range(const V1Fields& f) {
    const std::optional<NamedRange> found = optional_range(f);
    if (!found) {
        refuse_v1("Fields time_from and time_to are required together");
    }
    return *found;
}

/// A request of v2 with the name of its op.
struct V2Request {
    Request request;
    ReplyForm form = ReplyForm::v1;
};

using V1 = const V1Fields&;

V2Request ping(V1 /*f*/) { return {query::Ping{}}; }
V2Request health(V1 /*f*/) { return {query::Health{}}; }
V2Request stats(V1 /*f*/) { return {query::Stats{}}; }
V2Request metrics(V1 /*f*/) { return {query::Metrics{}}; }
V2Request trees(V1 f) { return {query::ListSeries{{}, f.response_bytes_max}}; }
V2Request dumps(V1 /*f*/) { return {query::Snapshots{}}; }
V2Request dump_all(V1 /*f*/) { return {control::SaveAllSnapshots{}}; }
V2Request verify(V1 /*f*/) { return {query::VerifySnapshots{}}; }
V2Request create(V1 f) { return {Mutation(mutation::CreateSeries{f.tree()})}; }
V2Request drop(V1 f) { return {Mutation(mutation::DropSeries{f.tree()})}; }
V2Request dump(V1 f) { return {control::SaveSnapshot{f.tree()}}; }

/// The name of a file may have a path before it, as v1 lists them: it lies in no other directory all the
/// same.
V2Request load(V1 f) {
    const std::string_view path = f.tree();
    const std::string_view file = path.substr(path.rfind('/') + 1);
    const std::size_t digits = std::min(file.find_first_not_of("0123456789"), file.size());
    constexpr std::string_view extension = ".tree";
    if (digits == 0 || !file.substr(digits).starts_with('_') || !file.ends_with(extension) ||
        file.size() <= digits + 1 + extension.size() || file.find('\0') != std::string_view::npos) {
        refuse_v1("Field tree_name must name a dump, as 1777925811_links.tree");
    }
    return {control::LoadSnapshot{file}};
}

V2Request increment(V1 f) {
    const std::string_view tree = f.tree();
    return {Mutation(mutation::Increment{tree, f.required_key()})};
}

V2Request decrement(V1 f) {
    const std::string_view tree = f.tree();
    return {Mutation(mutation::Decrement{tree, f.required_key()})};
}

V2Request sum(V1 f) {
    query::Sum sum{f.tree(), f.required_key(), std::nullopt, std::nullopt};
    if (const std::optional<NamedRange> in = optional_range(f)) {
        sum.range = in->days;
    }
    return {sum};
}

V2Request find_key(V1 f) {
    const std::string_view tree = f.tree();
    return {query::Points{tree, *f.key, range(f).days, std::nullopt}};
}

V2Request find_all(V1 f) {
    const std::string_view tree = f.tree();
    return {query::SeriesPoints{tree, range(f).days}};
}

/// Deletes nothing, but creates the tree as each delete does.
V2Request delete_nothing(std::string_view tree) {
    return {Mutation(mutation::CreateSeries{tree}), ReplyForm::v1_true};
}

V2Request delete_key(V1 f) {
    const std::string_view tree = f.tree();
    const NamedRange days = range(f);
    return days.is_empty ? delete_nothing(tree)
                         : V2Request{Mutation(mutation::DeleteCounterRange{tree, *f.key, days.days})};
}

V2Request delete_all(V1 f) {
    const std::string_view tree = f.tree();
    const NamedRange days = range(f);
    return days.is_empty ? delete_nothing(tree)
                         : V2Request{Mutation(mutation::DeleteSeriesRange{tree, days.days})};
}

V2Request reset_key(V1 f) { return {Mutation(mutation::ResetCounter{f.tree(), *f.key})}; }
V2Request reset_all(V1 f) { return {Mutation(mutation::ResetSeries{f.tree()})}; }

/// What a command becomes: an op of v2, and another one without the field `key` where there is one.
struct Command {
    std::string_view name;
    std::string_view op;
    V2Request (*decode)(V1);
    std::string_view op_without_key = {};
    V2Request (*decode_without_key)(V1) = nullptr;
};

constexpr Command commands[] = {
    {"increment", "counter.increment", increment},
    {"decrement", "counter.decrement", decrement},
    {"sum", "counter.sum", sum},
    {"find", "counter.series", find_key, "tree.series", find_all},
    {"delete", "counter.delete_range", delete_key, "tree.delete_range", delete_all},
    {"reset", "counter.reset", reset_key, "tree.reset", reset_all},
    {"ping", "system.ping", ping},
    {"health", "system.health", health},
    {"stats", "system.stats", stats},
    {"metrics", "system.metrics", metrics},
    {"trees", "tree.list", trees},
    {"create", "tree.create", create},
    {"drop", "tree.drop", drop},
    {"dump", "snapshot.create", dump},
    {"dump_all", "snapshot.create_all", dump_all},
    {"dumps", "snapshot.list", dumps},
    {"load", "snapshot.load", load},
    {"verify", "snapshot.verify", verify},
};

}  // namespace

std::optional<Error> V1Decoder::decode(const boost::json::value& value, bool accepts_writes, Request& request,
                                       Call& call) const {
    if (!value.is_object() || !value.get_object().contains("command")) {
        return Error{ErrorCode::invalid_json, "A request must be a JSON object with the field command"};
    }
    try {
        decode_object(value.get_object(), accepts_writes, request, call);
    } catch (const RequestError& refused) {
        return Error{refused.code(), refused.what()};
    }
    return std::nullopt;
}

void V1Decoder::decode_object(const boost::json::object& object, bool accepts_writes, Request& request,
                              Call& call) const {
    if (!object.at("command").is_string()) {
        refuse_v1(ErrorCode::invalid_json, "Field command must be a string");
    }
    V1Fields fields(object);
    fields.response_bytes_max = response_bytes_max_;
    const auto* const command = std::ranges::find(commands, fields.command, &Command::name);
    if (command == std::ranges::end(commands)) {
        constexpr std::size_t shown_max = 100;
        refuse_v1(ErrorCode::unknown_command,
                  "Unknown command " + std::string(shortened_utf8(fields.command, shown_max)));
    }
    const bool is_other = !fields.key && command->decode_without_key != nullptr;
    call.op = find_op(is_other ? command->op_without_key : command->op);
    const Grant grant = access_.grant(fields.token);
    call.access = grant.level;
    const Denial denial = authorize(*call.op, call.access, accepts_writes);
    if (denial != Denial::none && denial != Denial::role) {
        const Error denied = denial_error(denial, *call.op);
        refuse_v1(denied.code, denied.message);
    }
    const V2Request made = (is_other ? command->decode_without_key : command->decode)(fields);
    if (grant.series != nullptr && !is_within(*grant.series, made.request)) {
        const Error denied = series_denial(*call.op);
        refuse_v1(denied.code, denied.message);
    }
    // A role can change: what is wrong with the request is wrong on every node, and said first.
    if (denial == Denial::role) {
        const Error denied = denial_error(denial, *call.op);
        refuse_v1(denied.code, denied.message);
    }
    request = made.request;
    call.form = made.form;
}

}  // namespace karma::net
