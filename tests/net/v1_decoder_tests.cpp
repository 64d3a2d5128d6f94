#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "net/request_decoder.h"
#include "net/v1_decoder.h"
#include "tests/net/request_text.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {
namespace {

// Both decoders, for a client whose token is "secret", "read" or none.
class V1Tested {
public:
    explicit V1Tested(bool is_open = true) : access_(is_open ? "" : "secret", is_open ? "" : "read") {}

    void replace_tokens(net::TokenSet tokens) { access_.replace(std::move(tokens)); }

    net::Decoded decode(const std::string& line, bool accepts_writes = true) {
        decoder_.release();
        call = {};
        Error refused;
        const boost::json::value* const value = decoder_.parse(line, refused);
        REQUIRE(value != nullptr);
        Request request;
        if (std::optional<Error> wrong = v1_.decode(*value, accepts_writes, request, call)) {
            return std::move(*wrong);
        }
        return request;
    }

    // The error code and the message.
    std::string refusal(const std::string& line, bool accepts_writes = true) {
        const net::Decoded decoded = decode(line, accepts_writes);
        const auto* const error = std::get_if<Error>(&decoded);
        return error == nullptr ? "" : std::string(error_code_name(error->code)) + ": " + error->message;
    }

    std::optional<DayRange> sum_range(const std::string& from, const std::string& to) {
        const net::Decoded decoded = decode(R"({"command":"sum","tree_name":"a","key":1,"time_from":)" +
                                            from + R"(,"time_to":)" + to + "}");
        const std::optional<Period>& range = std::get<query::Sum>(std::get<Request>(decoded)).range;
        return range ? std::optional(range->at(0)) : std::nullopt;
    }

    // What the line of v1 becomes is what the line of v2 asks for.
    void check_same(const std::string& v1, const std::string& v2) {
        CAPTURE(v1);
        const net::Decoded made = decode(R"({"command":)" + v1 + "}");
        const std::string description = describe(made);
        const net::Op* const op = call.op;
        const std::size_t index = std::get<Request>(made).index();
        decoder_.release();
        Request wanted;
        net::Call wanted_call;
        const std::string line = R"({"v":2,"op":)" + v2 + "}";  // which the request borrows from
        REQUIRE_FALSE(decoder_.decode(line, true, wanted, wanted_call));
        CHECK(op == wanted_call.op);
        CHECK(index == wanted.index());
        CHECK(description == std::visit(RequestText{}, wanted));
        CHECK(call.access == net::Access::Level::admin);
        CHECK(call.form == net::ReplyForm::v1);
    }

    net::Call call;

private:
    net::Access access_;
    net::RequestDecoder decoder_{access_};
    net::V1Decoder v1_{access_};
};

}  // namespace

TEST_CASE("v1: each command is an op of v2") {
    V1Tested v1;
    const std::vector<std::pair<std::string, std::string>> same = {
        {R"("ping")", R"("system.ping")"},
        {R"("health")", R"("system.health")"},
        {R"("stats")", R"("system.stats")"},
        {R"("metrics")", R"("system.metrics")"},
        {R"("trees")", R"("tree.list")"},
        {R"("dumps")", R"("snapshot.list")"},
        {R"("dump_all")", R"("snapshot.create_all")"},
        {R"("verify")", R"("snapshot.verify")"},
        {R"("create","tree_name":"a")", R"("tree.create","series":"a")"},
        {R"("drop","tree_name":"a")", R"("tree.drop","series":"a")"},
        {R"("dump","tree_name":"a")", R"("snapshot.create","series":"a")"},
        {R"("load","tree_name":"17_a.tree")", R"("snapshot.load","file":"17_a.tree")"},
        {R"("increment","tree_name":"a","key":7)", R"("counter.increment","series":"a","key":7)"},
        {R"("decrement","tree_name":"a","key":7)", R"("counter.decrement","series":"a","key":7)"},
        {R"("increment","tree_name":"a","key":18446744073709551615)",
         R"("counter.increment","series":"a","key":18446744073709551615)"},
        {R"("sum","tree_name":"a","key":7)", R"("counter.sum","series":"a","key":7)"},
        {R"("sum","tree_name":"a","key":7,"time_from":20260101,"time_to":20260131)",
         R"("counter.sum","series":"a","key":7,"range":{"from":20260101,"to":20260131})"},
        {R"("find","tree_name":"a","key":7,"time_from":20260101,"time_to":20260101)",
         R"("counter.series","series":"a","key":7,"range":{"from":20260101,"to":20260101})"},
        {R"("find","tree_name":"a","key":null,"time_from":20260101,"time_to":20260131)",
         R"("tree.series","series":"a","range":{"from":20260101,"to":20260131})"},
        {R"("delete","tree_name":"a","key":7,"time_from":20260101,"time_to":20260131)",
         R"("counter.delete_range","series":"a","key":7,"range":{"from":20260101,"to":20260131})"},
        {R"("delete","tree_name":"a","time_from":0,"time_to":99999999)",
         R"("tree.delete_range","series":"a","range":{"from":10101,"to":99991231})"},
        {R"("reset","tree_name":"a","key":7)", R"("counter.reset","series":"a","key":7)"},
        {R"("reset","tree_name":"a")", R"("tree.reset","series":"a")"},
        // Of a field that comes twice the last one counts.
        {R"("reset","tree_name":"b","tree_name":"a")", R"("tree.reset","series":"a")"},
    };
    for (const auto& pair : same) {
        v1.check_same(pair.first, pair.second);
    }
    const net::Decoded all =
        v1.decode(R"({"command":"find","tree_name":"a","time_from":0,"time_to":30000000})");
    const auto& points = std::get<query::SeriesPoints>(std::get<Request>(all));
    CHECK(points.series == "a");
    CHECK(points.range == DayRange{0, *day_from_yyyymmdd(2999'12'31)});
    const net::Decoded load = v1.decode(R"({"command":"load","tree_name":"/srv/karma/17_a_b.tree"})");
    CHECK(std::get<control::LoadSnapshot>(std::get<Request>(load)).file == "17_a_b.tree");
}

TEST_CASE("v1: fields that a command does not know are passed over, whatever they hold") {
    V1Tested v1;
    CHECK(v1.refusal(R"({"command":"ping","extra":[1,{"a":2}],"bucket":"x","value":-1,"op":3})").empty());
    CHECK(v1.refusal(R"({"command":"ping","tree_name":"a","key":1,"time_from":1})").empty());
}

TEST_CASE("v1: what is wrong with a request") {
    V1Tested v1;
    const std::string number = " must be an integer from 0 to 18446744073709551615";
    const std::map<std::string, std::string> refused = {
        {R"([])", "invalid_json: A request must be a JSON object with the field command"},
        {R"(null)", "invalid_json: A request must be a JSON object with the field command"},
        {R"({"tree_name":"a"})", "invalid_json: A request must be a JSON object with the field command"},
        {R"({"command":1})", "invalid_json: Field command must be a string"},
        {R"({"command":null})", "invalid_json: Field command must be a string"},
        {R"({"command":"nope"})", "unknown_command: Unknown command nope"},
        {R"({"command":"PING"})", "unknown_command: Unknown command PING"},
        {R"({"command":""})", "unknown_command: Unknown command "},
        {R"({"command":"ping","tree_name":3})", "invalid_json: Field tree_name must be a string"},
        {R"({"command":"ping","token":3})", "invalid_json: Field token must be a string"},
        {R"({"command":"nope","key":"1"})", "invalid_json: Field key" + number},
        {R"({"command":"sum","tree_name":"a","key":-1})", "invalid_json: Field key" + number},
        {R"({"command":"sum","tree_name":"a","key":1.5})", "invalid_json: Field key" + number},
        {R"({"command":"sum","tree_name":"a","key":18446744073709551616})",
         "invalid_json: Field key" + number},
        {R"({"command":"sum","tree_name":"a","key":1,"time_from":true})",
         "invalid_json: Field time_from" + number},
        {R"({"command":"sum","tree_name":"a","key":1,"time_to":"2026-01-01"})",
         "invalid_json: Field time_to" + number},
        {R"({"command":"sum"})", "validation_error: Field tree_name is required"},
        {R"({"command":"sum","tree_name":"","key":1})", "validation_error: Field tree_name is required"},
        {R"({"command":"sum","tree_name":null,"key":1})", "validation_error: Field tree_name is required"},
        {R"({"command":"sum","tree_name":"a"})", "validation_error: Field key is required"},
        {R"({"command":"increment","tree_name":"a","key":null})", "validation_error: Field key is required"},
        {R"({"command":"increment","key":1})", "validation_error: Field tree_name is required"},
        {R"({"command":"reset","key":1})", "validation_error: Field tree_name is required"},
        {R"({"command":"find","tree_name":"a","key":1})",
         "validation_error: Fields time_from and time_to are required together"},
        {R"({"command":"delete","tree_name":"a","time_from":1})",
         "validation_error: Fields time_from and time_to are required together"},
        {R"({"command":"sum","tree_name":"a","key":1,"time_to":1})",
         "validation_error: Fields time_from and time_to are required together"},
        {R"({"command":"sum","tree_name":"a","key":1,"time_from":2,"time_to":1})",
         "validation_error: Field time_from must be less than or equal to time_to"},
    };
    for (const auto& one : refused) {
        CAPTURE(one.first);
        CHECK(v1.refusal(one.first) == one.second);
    }
    for (const std::string name : {"x", "x.tree", "_a.tree", "17_.tree", "17_a", "17.tree", "a/",
                                   "17_a.tree/", "17_a.tree.meta.json", "17_\\u0000.tree"}) {
        CAPTURE(name);
        CHECK(v1.refusal(R"({"command":"load","tree_name":")" + name + "\"}") ==
              "validation_error: Field tree_name must name a dump, as 1777925811_links.tree");
    }
    // A long name is shown in whole characters.
    std::string characters;
    for (int i = 0; i < 100; ++i) characters += "я";
    CHECK(v1.refusal(R"({"command":"x)" + characters + "\"}") ==
          "unknown_command: Unknown command x" + characters.substr(0, 98));
}

TEST_CASE("v1: ranges are of numbers, calendar days or not") {
    V1Tested v1;
    const auto days = [](std::uint64_t from, std::uint64_t to) {
        return DayRange{*day_from_yyyymmdd(from), *day_from_yyyymmdd(to)};
    };
    CHECK(v1.sum_range("20200101", "20991231") == days(2020'01'01, 2099'12'31));
    CHECK(v1.sum_range("0", "99999999") == DayRange{0, max_day});
    CHECK(v1.sum_range("0", "18446744073709551615") == DayRange{0, max_day});
    CHECK(v1.sum_range("20260230", "20260301") == days(2026'03'01, 2026'03'01));
    CHECK(v1.sum_range("20260000", "20261399") == days(2026'01'01, 2026'12'31));
    CHECK(v1.sum_range("20260228", "20260299") == days(2026'02'28, 2026'02'28));
    // Those that hold no day are asked about as one behind the calendar.
    const DayRange none{max_day + 1, max_day + 1};
    CHECK(v1.sum_range("20260229", "20260300") == none);
    CHECK(v1.sum_range("0", "10100") == none);
    CHECK(v1.sum_range("99991232", "99999999") == none);
    CHECK(v1.sum_range("18446744073709551615", "18446744073709551615") == none);
    // A delete of none creates the tree all the same, and says true.
    for (const std::string key : {R"(,"key":1)", ""}) {
        const net::Decoded nothing = v1.decode(
            R"({"command":"delete","tree_name":"a","time_from":20260229,"time_to":20260300)" + key + "}");
        const auto& body = std::get<Mutation>(std::get<Request>(nothing));
        CHECK(std::get<mutation::CreateSeries>(body).series == "a");
        CHECK(v1.call.form == net::ReplyForm::v1_true);
    }
}

TEST_CASE("v1: a range holds the days between its numbers and no others") {
    V1Tested v1;
    std::mt19937_64 random = random_engine("v1 ranges");
    const auto number_of = [](Day day) { return std::uint64_t{day_to_yyyymmdd(day)}; };
    for (int round = 0; round < 2'000; ++round) {
        std::uint64_t from = random_between(random, 0, 100'100'000);
        std::uint64_t to =
            round % 2 == 0 ? from + random_between(random, 0, 200) : random_between(random, 0, 100'100'000);
        if (from > to) std::swap(from, to);
        const std::optional<DayRange> range = v1.sum_range(std::to_string(from), std::to_string(to));
        CAPTURE(from);
        CAPTURE(to);
        REQUIRE(range.has_value());
        CHECK(range->from <= range->to);
        if (range->from > max_day) {
            // The first day that is not before the range lies behind it.
            std::uint64_t next = from;
            while (next <= to && !day_from_yyyymmdd(next)) ++next;
            CHECK(next > to);
            continue;
        }
        CHECK(number_of(range->from) >= from);
        CHECK(number_of(range->to) <= to);
        CHECK((range->from == 0 || number_of(range->from - 1) < from));
        CHECK((range->to == max_day || number_of(range->to + 1) > to));
    }
}

TEST_CASE("v1: tokens, roles, and in which order they are looked at") {
    V1Tested v1(false);
    const std::string unauthorized = "unauthorized: Unauthorized";
    CHECK(v1.refusal(R"({"command":"ping"})") == unauthorized);
    CHECK(v1.refusal(R"({"command":"ping","token":null})") == unauthorized);
    CHECK(v1.refusal(R"({"command":"ping","token":"wrong"})") == unauthorized);
    CHECK(v1.refusal(R"({"command":"ping","token":"secret"})").empty());
    CHECK(v1.call.access == net::Access::Level::admin);
    CHECK(v1.refusal(R"({"command":"nope"})") == "unknown_command: Unknown command nope");
    CHECK(v1.refusal(R"({"command":"sum","token":"x"})") == unauthorized);
    CHECK(v1.refusal(R"({"command":"sum","tree_name":"a","key":1,"token":"read"})").empty());
    CHECK(v1.call.access == net::Access::Level::read);
    CHECK(v1.refusal(R"({"command":"increment","token":"read"})") ==
          "forbidden: Read-only token cannot execute counter.increment");
    CHECK(v1.refusal(R"({"command":"dump_all","token":"read"})") ==
          "forbidden: Read-only token cannot execute snapshot.create_all");
    // A slave says first what is wrong on every node.
    CHECK(v1.refusal(R"({"command":"reset","token":"secret"})", false) ==
          "validation_error: Field tree_name is required");
    CHECK(v1.refusal(R"({"command":"reset","tree_name":"a","token":"secret"})", false) ==
          "forbidden: Slave role cannot execute tree.reset");
    CHECK(v1.refusal(R"({"command":"trees","token":"read"})", false).empty());
}

TEST_CASE("v1: a token for certain series, or without administration, is one here too") {
    V1Tested v1(false);
    v1.replace_tokens(net::TokenSet({{"links", "t", net::AccessLevel::write, net::SeriesGlobs({"link*"})},
                                     {"writer", "w", net::AccessLevel::write}}));
    CHECK(v1.refusal(R"({"command":"increment","tree_name":"links","key":1,"token":"t"})").empty());
    CHECK(v1.refusal(R"({"command":"increment","tree_name":"other","key":1,"token":"t"})") ==
          "forbidden: Token for certain series cannot execute counter.increment on others");
    CHECK(v1.refusal(R"({"command":"reset","tree_name":"other","token":"t"})").starts_with("forbidden: "));
    CHECK(v1.refusal(R"({"command":"trees","token":"t"})").starts_with("forbidden: "));
    CHECK(v1.refusal(R"({"command":"increment","tree_name":"other","key":1,"token":"w"})").empty());
    CHECK(v1.refusal(R"({"command":"load","tree_name":"1_a.tree","token":"w"})").starts_with("forbidden: "));
}

}  // namespace karma::test
