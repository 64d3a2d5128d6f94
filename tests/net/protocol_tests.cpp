#include <set>
#include <string>

#include <doctest/doctest.h>

#include "engine/event_codec.h"
#include "net/entry_writer.h"
#include "net/prometheus.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"
#include "tests/support/json.h"

namespace karma::test {

using karma::net::Access;
using karma::net::Decoded;
using karma::net::ReplyWriter;
using karma::net::RequestDecoder;

namespace {

using namespace std::string_literals;

std::string code_of(const Decoded& decoded) {
    const auto* const error = std::get_if<Error>(&decoded);
    return error == nullptr ? "" : std::string(error_code_name(error->code));
}

std::string code(const std::string& line, const Access& access = Access("", ""), bool writes = true) {
    RequestDecoder decoder(access);
    return code_of(decoder.decode(line, writes));
}

std::string written(const Reply& reply, std::size_t limit = 0) {
    std::string line;
    ReplyWriter(limit).write(reply, Deduplication::no_key, NoDeadline(), line);
    REQUIRE(line.ends_with("\r\n"));
    return line.substr(0, line.size() - 2);
}

std::string response(const Reply& reply) {
    const test::json::value parsed = test::parse_json(written(reply));
    CHECK(parsed.as_object().at("protocol_version") == 2);
    CHECK(parsed.as_object().at("success").as_bool());
    CHECK(parsed.as_object().at("error_code").is_null());
    const std::string line = written(reply);
    const std::size_t begin = line.find("\"response\":") + 11;
    return line.substr(begin, line.rfind(",\"error_code\"") - begin);
}

/// A request that has every field that any op needs.
std::string full_request(std::string_view op) {
    return R"({"v":2,"series":"a","key":1,"value":2,"bucket":20260505,"before":20260505,"keys":[1],"range":)"
           R"({"from":20260501,"to":20260531},"stream_id":"s","mode":"add","chunk_seq":1,"file":"1_a.tree","source":"q",)"
           R"("offset":0,"export_id":"e","after_lsn":0,"format":1,"name":"n","epochs":[1,2,3],"heartbeat_ms":9,"epoch":1,"epoch_id":2,"checked_points":1,"mismatch_count":0,"items":)" +
           std::string(op.starts_with("counter.multi_") ? R"([{"series":"a","key":1}])"
                                                        : "[[1,20260505,1]]") +
           R"(,"op":")" + std::string(op) + "\"}";
}

}  // namespace

TEST_CASE("replies: a message that quotes bytes which are no text is JSON even so") {
    const std::string line = written(Error{ErrorCode::validation_error, "File \"a\xFF\": \xCE\xB1"});
    CHECK(test::parse_json(line).as_object().at("response") == "File \"a\xEF\xBF\xBD\": \xCE\xB1");
}

TEST_CASE("protocol: every op of the table is understood, by its name and its aliases") {
    std::set<std::string_view> names;
    for (const net::OpName& entry : net::all_ops()) {
        CAPTURE(entry.name);
        CHECK(names.insert(entry.name).second);
        CHECK(net::find_op(entry.name) != nullptr);
        CHECK(code(full_request(entry.name)) == "");
        CHECK(code(full_request(entry.name), Access("", ""), false) ==
              (entry.op.writes() ? "forbidden" : ""));
    }
    CHECK(net::find_op("counter.nope") == nullptr);
}

TEST_CASE("protocol: the order of checks") {
    const Access access("secret", "read");
    CHECK(code("{\"v\":1", access) == "invalid_json");
    CHECK(code("[]", access) == "validation_error");
    CHECK(code(R"({"op":5})", access) == "unsupported_protocol");
    CHECK(code(R"({"v":2,"op":5})", access) == "validation_error");
    CHECK(code(R"({"v":2,"op":"nope"})", access) == "unauthorized");
    CHECK(code(R"({"v":2,"op":"nope","token":"secret"})", access) == "unknown_command");
    CHECK(code(R"({"v":2,"op":"counter.increment","token":"read"})", access) == "forbidden");
    CHECK(code(R"({"v":2,"op":"counter.increment","token":"secret"})", access) == "validation_error");
    CHECK(code(R"({"v":2,"op":"counter.increment","token":"secret"})", access, false) == "validation_error");
    CHECK(code(R"({"v":2,"op":"counter.increment","token":"secret","series":"a","key":1})", access, false) ==
          "forbidden");
    CHECK(code(R"({"v":2,"op":"system.ping","token":"read"})", access, false).empty());
    CHECK(code(R"({"v":2,"op":"system.ping","token":"secret "})", access) == "unauthorized");
    CHECK(code(R"({"v":2,"op":"system.ping","token":""})", Access("secret", "")) == "unauthorized");
}

TEST_CASE("protocol: administrative ops of replication need the full token, in every role") {
    const Access access("secret", "read");
    for (const char* const op : {"replication.promote", "replication.verify"}) {
        CAPTURE(op);
        const auto with = [&](const char* token, bool accepts_writes) {
            return code("{\"v\":2,\"op\":\"" + std::string(op) + "\",\"token\":\"" + token + "\"}", access,
                        accepts_writes);
        };
        CHECK(with("read", true) == "forbidden");
        CHECK(with("secret", true).empty());
        CHECK(with("secret", false).empty());
    }
    CHECK(code(R"({"v":2,"op":"replication.fence","epoch":0,"epoch_id":1})") == "validation_error");
    CHECK(code(R"({"v":2,"op":"replication.fence","epoch":18446744073709551614,"epoch_id":1})").empty());
    CHECK(code(R"({"v":2,"op":"replication.fence","epoch":18446744073709551615,"epoch_id":1})") ==
          "validation_error");
    const std::string subscribe =
        R"({"v":2,"op":"replication.subscribe","format":1,"name":"n","after_lsn":0,"heartbeat_ms":9,"epochs":)";
    CHECK(code(subscribe + "[]}").empty());
    CHECK(code(subscribe + "[1,2]}") == "validation_error");
    CHECK(code(subscribe + "[18446744073709551614,18446744073709551615,18446744073709551615]}").empty());
    CHECK(code(subscribe + "[1,2,3,18446744073709551615,2,3]}") == "validation_error");
    CHECK(code(subscribe + R"([],"checksum":4294967296})") == "validation_error");
    CHECK(code(subscribe + R"([],"checksum":null})").empty());
}

TEST_CASE("protocol: a token is in no message") {
    const Access access("secret-token", "read-token");
    RequestDecoder decoder(access);
    for (const char* const line :
         {R"({"v":2,"op":"counter.increment","token":"secret-token"})",
          R"({"v":2,"op":"nope","token":"secret-token"})",
          R"({"v":2,"op":"system.ping","token":"wrong-secret-token"})",
          R"({"v":2,"op":"counter.increment","series":"a","key":-1,"token":"secret-token"})"}) {
        const Decoded decoded = decoder.decode(line, true);
        REQUIRE(std::holds_alternative<Error>(decoded));
        CHECK(std::get<Error>(decoded).message.find("token") == std::string::npos);
    }
}

TEST_CASE("protocol: numbers are exact or refused") {
    const auto key = [](const std::string& number) {
        return code(R"({"v":2,"op":"counter.sum","series":"a","key":)" + number + "}");
    };
    CHECK(key("18446744073709551615").empty());
    CHECK(key("9223372036854775808").empty());
    for (const char* const bad :
         {"18446744073709551616", "1e3", "1.0", "-1", "true", "\"1\"", "null", "[1]", "{}"}) {
        CAPTURE(bad);
        CHECK(key(bad) == "validation_error");
    }
    for (const char* const bad : {"01", "+1", "1.", ".5", "0x1", "NaN", "1 2"}) {
        CAPTURE(bad);
        CHECK(key(bad) == "invalid_json");
    }
    CHECK(code(R"({"v":2.0,"op":"system.ping"})") == "unsupported_protocol");
}

TEST_CASE("protocol: hostile JSON is refused without harm") {
    CHECK(code(std::string(3'000, '[')) == "invalid_json");
    CHECK(code("{\"v\":2,\"op\":\"system.ping\",\"a\":" + std::string(2'000, '[') + std::string(2'000, ']') +
               "}") == "invalid_json");
    CHECK(code("{\"v\":2,\"op\":\"system.ping\",\"a\":\"\xff\"}") == "invalid_json");
    CHECK(code("{\"v\":2,\"op\":\"a\0b\"}"s) == "invalid_json");
    CHECK(code(R"({"v":2,"op":"a\u0000b"})") == "unknown_command");
    CHECK(code(R"({"v":2,"op":"system.ping","op":"nope"})") == "unknown_command");  // the last one counts
    CHECK(code(R"({"v":2,"op":"snapshot.fetch","file":"a\u0000.tree"})") == "validation_error");
}

TEST_CASE("protocol: an idempotency key is taken by the ops that have one, and by no other") {
    const Access access("", "");
    std::size_t keyed = 0;
    for (const net::OpName& entry : net::all_ops()) {
        RequestDecoder decoder(access);
        std::string line = full_request(entry.name);
        line.insert(1, R"("idempotency_key":"k","fingerprint":"f",)");
        const Decoded decoded = decoder.decode(line, true);
        const auto* const request = std::get_if<Request>(&decoded);
        const auto* const with_key = request == nullptr ? nullptr : std::get_if<KeyedMutation>(request);
        CAPTURE(entry.name);
        CHECK((with_key != nullptr) == entry.op.idempotent);
        if (with_key != nullptr) {
            CHECK(with_key->key == "k");
            CHECK(with_key->fingerprint == "f");
            keyed += entry.name == entry.op.name ? 1 : 0;
        }
    }
    CHECK(keyed == 11);
}

TEST_CASE("protocol: an idempotency key is 1 to 256 bytes, a string or an integer") {
    const auto with_key = [](const std::string& key) {
        return code(R"({"v":2,"op":"counter.increment","series":"a","key":1,"idempotency_key":)" + key + "}");
    };
    const auto quoted = [](const std::string& text) { return '"' + text + '"'; };
    CHECK(with_key(quoted(std::string(256, 'k'))).empty());
    CHECK(with_key("-5").empty());
    CHECK(with_key("null").empty());
    for (const std::string& wrong : {quoted(std::string(257, 'k')), quoted(""), std::string("1.5"),
                                     std::string("true"), std::string("[]")}) {
        CAPTURE(wrong);
        CHECK(with_key(wrong) == "validation_error");
    }
    const std::string fingerprint =
        R"({"v":2,"op":"tree.reset","series":"a","idempotency_key":"k","fingerprint":)";
    CHECK(code(fingerprint + quoted(std::string(512, 'f')) + "}").empty());
    CHECK(code(fingerprint + quoted(std::string(513, 'f')) + "}") == "validation_error");
    CHECK(code(fingerprint + quoted("") + "}") == "validation_error");
    CHECK(code(fingerprint + "5}") == "validation_error");
}

TEST_CASE("protocol: an instant is Unix seconds, RFC 3339 or a day") {
    const auto prune = [](const std::string& before) {
        return code(R"({"v":2,"op":"idempotency.prune","before":)" + before + "}");
    };
    CHECK(prune("0").empty());
    CHECK(prune("18446744073709551615").empty());
    CHECK(prune(R"("2026-05-05T13:30:00+02:00")").empty());
    CHECK(prune(R"("2026-05-05")").empty());
    for (const char* const wrong :
         {"-1", "1.5", R"("2026-02-30")", R"("20260505")", R"("1")", "null", "[]"}) {
        CAPTURE(wrong);
        CHECK(prune(wrong) == "validation_error");
    }
}

TEST_CASE("protocol: an instant before 1970 is written back as one that can be read") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const Decoded decoded =
        decoder.decode(R"({"v":2,"op":"idempotency.prune","before":"1960-01-01T00:00:00Z"})", true);
    const auto& asked = std::get<mutation::PruneRecords>(std::get<Mutation>(std::get<Request>(decoded)));
    for (const std::int64_t before_unix : {asked.before_unix, std::int64_t{-1}}) {
        std::string entry;
        karma::net::append_entry({1, 0, fact::PruneRecords{before_unix, std::nullopt}}, true, entry);
        CAPTURE(entry);
        CHECK(code(entry).empty());
    }
}

TEST_CASE("protocol: the end of a time range includes its second, however it is written") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const auto to_ms = [&](const std::string& to) {
        const Decoded decoded = decoder.decode(R"({"v":2,"op":"event.list","to":)" + to + "}", true);
        return std::get<query::Events>(std::get<Request>(decoded)).to_ms;
    };
    CHECK(to_ms("1777982400") == 1'777'982'400'999);
    CHECK(to_ms(R"("2026-05-05T12:00:00Z")") == 1'777'982'400'999);
    CHECK(to_ms(R"("2026-05-05T14:00:00+02:00")") == 1'777'982'400'999);
    CHECK(to_ms(R"("2026-05-05T12:00:00.25Z")") == 1'777'982'400'250);
    CHECK(to_ms(R"("2026-05-05T12:00:00.000Z")") == 1'777'982'400'000);
}

TEST_CASE("protocol: a range is two days, a named period or the last days") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const auto decoded = [&](const std::string& rest) {
        return decoder.decode(R"({"v":2,"op":"counter.series","series":"a","key":1)" + rest + "}", true);
    };
    const auto range = [&](const std::string& rest) {
        const Decoded request = decoded(rest);
        return std::get<query::Points>(std::get<Request>(request)).range;
    };
    const Day first = *day_from_yyyymmdd(2026'05'01);
    CHECK(range(R"(,"range":{"from":20260501,"to":20260502})") == Period(first, first + 1));
    CHECK(range(R"(,"range":{"from":"2026-05-01","to":"2026-05-02"})") == Period(first, first + 1));
    CHECK(range(R"(,"range":{"from":20260501,"to":"2026-05-02"})") == Period(first, first + 1));
    CHECK(range(R"(,"range":"this_month")") == period_from_name("this_month"));
    CHECK(range(R"(,"last":"30d")") == Period::last(30));
    const auto refusal = [&](const std::string& rest) { return std::get<Error>(decoded(rest)).message; };
    CHECK(refusal("") == "Field range is required");
    CHECK(
        refusal(R"(,"range":"this_hour")") ==
        "Field range must be an object with from and to, or one of today, yesterday, this_week, this_month, "
        "last_month, this_year");
    CHECK(refusal(R"(,"range":{"from":"2026-05-01","to":"May"})") ==
          "Field range.to must be a calendar day such as 20260505 or \"2026-05-05\"");
    // As Karma 1.0 does.
    CHECK(refusal(R"(,"range":{"from":"20260501","to":"20260502"})") ==
          "Field range.from must be a calendar day such as 20260505 or \"2026-05-05\"");
    CHECK(refusal(R"(,"range":{"from":"2026-05-02","to":20260501})") ==
          "Field range.from must not be after range.to");
    CHECK(refusal(R"(,"last":"7d","range":"today")") == "Field last must not be given beside range");
    for (const char* const last : {"7", "\"24h\"", "null", "\"\"", "[]"}) {
        CHECK(refusal(std::string(R"(,"last":)") + last) ==
              "Field last must be a number of days such as \"30d\": the series counts by UTC days");
    }
}

TEST_CASE("protocol: a reply with totals is asked for by its name") {
    const Access access("", "");
    RequestDecoder decoder(access);
    for (const std::string op : {"counter.increment", "counter.decrement"}) {
        const auto code_of = [&](const std::string& reply) {
            std::string line = R"({"v":2,"series":"a","key":1,"op":")";
            line.append(op).append(R"(","reply":)").append(reply).append("}");
            const Decoded decoded = decoder.decode(line, true);
            const auto* const refused = std::get_if<Error>(&decoded);
            return refused == nullptr ? std::string() : refused->message;
        };
        CHECK(code_of("\"total\"").empty());
        CHECK(code_of("\"value\"").empty());
        CHECK(code_of("\"sum\"") == "Field reply must be total or value");
        CHECK(code_of("1") == "Field reply must be a string");
    }
    CHECK(response(reply::CounterTotals{1, 2, 18446744073709551615U}) ==
          R"({"value":1,"bucket_total":2,"key_total":18446744073709551615})");
    CHECK(response(reply::BucketTotals{{{day_from_yyyymmdd(2026'05'05).value(), 7},
                                        {day_from_yyyymmdd(2026'05'06).value(), Uint128{1} << 64U}}}) ==
          R"({"20260505":7,"20260506":18446744073709551616})");
    CHECK(response(reply::BucketTotals{}) == "{}");
}

TEST_CASE("protocol: the items of counter.multi_add name their series, and have a day and a value or not") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const auto decoded = [&](const std::string& items) {
        return decoder.decode(R"({"v":2,"op":"counter.multi_add","items":)" + items + "}", true);
    };
    const Decoded made =
        decoded(R"([{"series":"a","key":1},{"tree":"b","key":2,"date":"2026-05-05","value":3}])");
    const auto& add = std::get<mutation::MultiAdd>(std::get<Mutation>(std::get<Request>(made)));
    REQUIRE(add.items.size() == 2);
    CHECK(add.items[0] == mutation::SeriesItem{"a", 1, today, 1});
    CHECK(add.items[1] == mutation::SeriesItem{"b", 2, *day_from_yyyymmdd(2026'05'05), 3});
    const auto refusal = [&](const std::string& items) {
        const Decoded refused = decoded(items);
        return std::get<Error>(refused).message;
    };
    CHECK(refusal("[]") == "Field items must not be empty");
    CHECK(refusal("1") == "Field items must be an array");
    CHECK(refusal("[[1,2,3]]").starts_with("Field items[] must be {"));
    CHECK(refusal(R"([{"key":1}])").starts_with("Field items[].series is required"));
    CHECK(refusal(R"([{"series":"a"}])") == "Field items[].key is required");
    CHECK(refusal(R"([{"series":"a","key":1,"value":0}])") == "Field items[].value must be greater than 0");
    CHECK(
        refusal(R"([{"series":"a","key":1,"bucket":20260230}])").starts_with("Field items[].bucket must be"));
    std::string entry;
    karma::net::append_entry({1, 0, fact::MultiAdd{{add.items, *day_from_yyyymmdd(2026'05'06)}}, "k"}, true,
                             entry);
    CHECK(entry ==
          R"({"v":2,"op":"counter.multi_add","items":[{"series":"a","key":1,"bucket":20260506,"value":1},)"
          R"({"series":"b","key":2,"bucket":20260505,"value":3}],"idempotency_key":"k",)"
          R"("idempotency_created_at_unix":0})");
}

TEST_CASE("protocol: a wait for events has a limit") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const auto decoded = [&](const std::string& wait) {
        return decoder.decode(R"({"v":2,"op":"event.list","wait_ms":)" + wait + "}", true);
    };
    const Decoded longest = decoded("60000");
    CHECK(std::get<query::Events>(std::get<Request>(longest)).wait == std::chrono::minutes(1));
    const Decoded none = decoded("null");
    CHECK(std::get<query::Events>(std::get<Request>(none)).wait.count() == 0);
    for (const char* const wait : {"60001", "18446744073709551615", "-1", "\"1\"", "1.5"}) {
        CAPTURE(wait);
        const Decoded refused = decoded(wait);
        CHECK(std::get<Error>(refused).message.starts_with("Field wait_ms must be "));
    }
}

TEST_CASE("protocol: a day is a time in every field that takes times") {
    const Access access("", "");
    RequestDecoder decoder(access);
    const auto decoded = [&](const std::string& rest) {
        return decoder.decode(R"({"v":2,"op":)" + rest + "}", true);
    };
    const Decoded events = decoded(R"("event.list","from":"2026-05-05","to":"2026-05-05")");
    CHECK(std::get<query::Events>(std::get<Request>(events)).from_ms == 1'777'939'200'000);
    CHECK(std::get<query::Events>(std::get<Request>(events)).to_ms == 1'778'025'599'999);
    const Decoded prune = decoded(R"("idempotency.prune","before":"2026-05-05")");
    CHECK(std::get<mutation::PruneRecords>(std::get<Mutation>(std::get<Request>(prune))).before_unix ==
          1'777'939'200);
    const Decoded sum = decoded(R"("counter.sum","series":"a","key":1,"as_of":"2026-05-05")");
    CHECK(std::get<query::Sum>(std::get<Request>(sum)).as_of == history_point_from_text("2026-05-05"));
    CHECK(std::get<query::Sum>(std::get<Request>(sum)).as_of->time_ms == 1'778'025'599'999);
    // What is accepted is in the refusal.
    const auto refusal = [&](const std::string& rest) { return std::get<Error>(decoded(rest)).message; };
    for (const std::string& message :
         {refusal(R"("event.list","from":"May")"),
          refusal(R"("counter.sum","series":"a","key":1,"as_of":"2026-02-30")")}) {
        CAPTURE(message);
        CHECK(message.find("an RFC 3339 time such as \"2026-05-05T00:00:00Z\"") != std::string::npos);
        CHECK(message.find("a UTC day such as \"2026-05-05\"") != std::string::npos);
    }
}

TEST_CASE("protocol: a reply says whether its idempotency key was used before") {
    std::string line;
    ReplyWriter(0).write(reply::Number{5}, Deduplication::first, NoDeadline(), line);
    ReplyWriter(0).write(reply::Number{5}, Deduplication::repeat, NoDeadline(), line);
    CHECK(line ==
          "{\"protocol_version\":2,\"success\":true,\"response\":5,\"idempotent\":false,\"error_code\":null}"
          "\r\n"
          "{\"protocol_version\":2,\"success\":true,\"response\":5,\"idempotent\":true,\"error_code\":null}"
          "\r\n");
}

TEST_CASE("protocol: what a request borrows lasts until it is released") {
    const Access access("", "");
    RequestDecoder decoder(access);
    std::vector<std::string> lines;
    std::vector<Request> requests;
    for (int i = 0; i < 3'000; ++i) {
        // An escape, so that the text cannot lie in the line; lines of many sizes.
        lines.push_back(R"({"v":2,"op":"counter.batch_sum","series":"\u0073)" +
                        std::string(static_cast<std::size_t>(i % 700), 'x') + std::to_string(i) +
                        R"(","keys":[)" + std::to_string(i) + ",2]}");
        Decoded decoded = decoder.decode(lines.back(), true);
        REQUIRE(std::holds_alternative<Request>(decoded));
        requests.push_back(std::get<Request>(decoded));
    }
    for (int i = 0; i < 3'000; ++i) {
        const auto& sums = std::get<query::BatchSum>(requests[static_cast<std::size_t>(i)]);
        REQUIRE(sums.series.starts_with('s'));
        REQUIRE(sums.series.ends_with(std::to_string(i)));
        REQUIRE(sums.keys[0] == static_cast<std::uint64_t>(i));
    }
    decoder.release();
}

TEST_CASE("replies: the shapes of the protocol") {
    CHECK(response(reply::Ok{}) == "\"OK\"");
    CHECK(response(reply::Pong{}) == "\"pong\"");
    CHECK(response(reply::Deleted{}) == "true");
    CHECK(response(reply::Number{18446744073709551615U}) == "18446744073709551615");
    CHECK(response(reply::Added{2, (Uint128{1} << 64U) * 3}) ==
          R"({"applied":2,"total":55340232221128654848})");
    CHECK(response(reply::Applied{3}) == R"({"applied":3})");
    CHECK(response(reply::BatchResetDone{1, 2}) == R"({"reset":1,"missing":2})");
    CHECK(response(reply::BatchDeleted{1, 2}) == R"({"deleted":1,"missing":2})");
    CHECK(response(reply::SeriesNames{{"a", "q\"\n", "серия"}}) == R"(["a","q\"\n","серия"])");
    CHECK(response(reply::Info{"a", {1, 2, 3}, 4}) ==
          R"({"tree":"a","key_count":1,"bucket_count":2,"total":3,"branches":4})");
    CHECK(response(reply::Keys{"a", 2, std::nullopt, {{{1, 5}}, 1}}) ==
          R"({"tree":"a","limit":2,"cursor":null,"next_cursor":1,"keys":[{"key":1,"total":5}]})");
    CHECK(response(reply::Top{"a", 2, {{1, 5}, {2, 4}}}) ==
          R"({"tree":"a","limit":2,"items":[{"key":1,"value":5},{"key":2,"value":4}]})");
    const Day day = day_from_yyyymmdd(20260505).value();
    CHECK(
        response(reply::SummaryOf{"a", DayRange{day, day}, {1, 2, 3}}) ==
        R"({"tree":"a","range_from":20260505,"range_to":20260505,"total":1,"active_keys":2,"bucket_count":3})");
    CHECK(response(reply::PointList{{{day, 5}, {day + 1, 6}}}) == R"({"20260505":5,"20260506":6})");
    CHECK(response(reply::PointList{}) == "{}");
    CHECK(response(reply::Sums{{{1, 5}}}) == R"([{"key":1,"value":5}])");
    CHECK(response(reply::NamedSums{{{"a", 1, 5}}}) == R"([{"series":"a","key":1,"value":5}])");
    CHECK(response(reply::SnapshotSaved{"a"}) == "\"Tree \\\"a\\\" saved\"");
    Series series("a", 1);
    series.add(9, day, 3);
    series.add(4, day, 0);
    CHECK(response(reply::AllPoints{series.view(), DayRange{}, {4, 9}}) == R"({"4":{},"9":{"20260505":3}})");
}

TEST_CASE("replies: the limit holds to the byte") {
    const reply::SeriesNames names{{std::string(100, 'x')}};
    const std::size_t size = written(names).size();
    CHECK(written(names, size).find("xxx") != std::string::npos);
    const test::json::value refused = test::parse_json(written(names, size - 1));
    CHECK(refused.as_object().at("error_code") == "response_too_large");
    std::string line;
    CHECK(ReplyWriter(size - 1).write(names, Deduplication::no_key, NoDeadline(), line) ==
          ErrorCode::response_too_large);
}

TEST_CASE("replies: pages hold what has room, and lead to the rest") {
    constexpr std::size_t limit = 8192;
    std::vector<std::string> left;
    for (int i = 0; i < 500; ++i) {
        left.push_back(std::string(90, 'x') + std::to_string(1000 + i));
    }
    const test::json::value whole = test::parse_json(written(reply::SeriesNames{left}, limit));
    CHECK(whole.as_object().at("error_code") == "response_too_large");
    CHECK(std::string(whole.as_object().at("response").as_string()).find("limit and cursor") !=
          std::string::npos);
    std::vector<std::string> seen;
    std::string cursor;
    while (!left.empty()) {
        const std::string line = written(reply::SeriesNames{left, {400, cursor, false}}, limit);
        CHECK(line.size() <= limit);
        const test::json::value page = test::parse_json(line).as_object().at("response");
        for (const test::json::value& name : page.at("trees").as_array()) {
            seen.emplace_back(name.as_string());
        }
        const std::size_t count = page.at("trees").as_array().size();
        REQUIRE(count != 0);
        left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count));
        CHECK(page.at("next_cursor").is_null() == left.empty());
        if (!left.empty()) {
            cursor = page.at("next_cursor").as_string();
            CHECK(cursor == seen.back());
        }
    }
    CHECK(seen.size() == 500);
    CHECK(response(reply::SnapshotNames{{"b", "a"}, {2, "c", true}}) ==
          R"({"files":["b","a"],"limit":2,"cursor":"c","next_cursor":"a"})");
}

TEST_CASE("replies: the status of replication comes without its lists where they have no room") {
    reply::ReplicationStatus status;
    status.latest_snapshots.resize(100);
    status.recovery.checkpoints.resize(100);
    const auto parts = [&](std::size_t limit) {
        return test::parse_json(written(Reply(Boxed<reply::ReplicationStatus>(status)), limit))
            .as_object()
            .at("response");
    };
    const test::json::value whole = parts(0);
    CHECK(whole.at("latest_snapshots").as_array().size() == 100);
    CHECK_FALSE(whole.as_object().contains("next_cursor"));
    const test::json::value shortened = parts(6'000);
    CHECK(shortened.at("latest_snapshots").as_array().empty());
    CHECK(shortened.at("next_cursor") == "");
    CHECK(shortened.at("recovery").at("checkpoints").as_array().empty());
    CHECK(shortened.at("recovery").at("checkpoint_count") == 100);
    status.page = {50, "", true};
    CHECK(parts(0).at("recovery").at("checkpoint_count") == 100);
}

TEST_CASE("replies: who reads the log gets past an event of any size") {
    constexpr std::size_t limit = 10'000;
    const std::string large(20'000, 'x');
    EventGroupBuilder builder;
    builder.add({1, 1'777'000'000'000, mutation::CreateSeries{large}, {}});
    builder.add({2, 1'777'000'000'000, mutation::CreateSeries{"b"}, {}});
    std::string group;
    builder.finish(group);
    reply::LogEntries entries;
    entries.limit = 10;
    entries.source_lsn = 2;
    entries.groups = {group};
    const test::json::value log = test::parse_json(written(entries, limit)).as_object();
    REQUIRE(log.at("success") == true);
    CHECK(log.at("response").at("next_lsn") == 1);
    reply::Events events;
    events.limit = 10;
    events.last_lsn = 2;
    events.searched_lsn = 2;
    events.found.pick(group, [](const Event&) { return true; });
    const test::json::value found = test::parse_json(written(events, limit)).as_object();
    REQUIRE(found.at("success") == true);
    CHECK(found.at("response").at("next_lsn") == 1);
}

TEST_CASE("protocol: the fields of a page") {
    CHECK(code(R"({"v":2,"op":"tree.list","limit":10,"cursor":"a"})").empty());
    CHECK(code(R"({"v":2,"op":"tree.list","cursor":null})").empty());
    CHECK(code(R"({"v":2,"op":"tree.list","cursor":1})") == "validation_error");
    CHECK(code(R"({"v":2,"op":"tree.list","limit":0})") == "validation_error");
    CHECK(code(R"({"v":2,"op":"snapshot.list","limit":10001})") == "validation_error");
    CHECK(code(R"({"v":2,"op":"snapshot.info","limit":0})").empty());
    CHECK(code(R"({"v":2,"op":"replication.status","limit":0})").empty());
}

TEST_CASE("replies: a message with anything in it is still JSON") {
    const test::json::value parsed =
        test::parse_json(written(Error{ErrorCode::not_found, "Tree \"q\"\n\x01\\\" not found"}));
    CHECK_FALSE(parsed.as_object().at("success").as_bool());
    CHECK(parsed.as_object().at("error_code") == "not_found");
}

TEST_CASE("metrics: text that a Prometheus parser takes") {
    const std::string text = net::prometheus_text({
        {"a", "karma_a", Metric::Kind::counter, "Help.", std::uint64_t{18446744073709551615U}, nullptr},
        {"b", "karma_b", Metric::Kind::gauge, "Help.", 1.5, nullptr},
        {"hidden", nullptr, Metric::Kind::gauge, "", nullptr, nullptr},
        {"role", "karma_role", Metric::Kind::gauge, "Role.", std::string("master"), "role", "master"},
    });
    CHECK(text ==
          "# HELP karma_a Help.\n# TYPE karma_a counter\nkarma_a 18446744073709551615\n"
          "# HELP karma_b Help.\n# TYPE karma_b gauge\nkarma_b 1.500000\n"
          "# HELP karma_role Role.\n# TYPE karma_role gauge\nkarma_role{role=\"master\"} 1\n");
}

TEST_CASE("decoder: large requests without end take no more and more memory at a time") {
    const Access access("", "");
    RequestDecoder decoder(access);
    std::string items;
    for (int item = 0; item < 20'000; ++item) {
        items += (item == 0 ? "[" : ",[") + std::to_string(item) + ",20260505,1]";
    }
    const std::string fast = R"({"v":2,"op":"series.batch_add","series":"links","items":[)" + items + "]}";
    const std::string general =
        R"({"v":2,"op":"series.batch_add","series":"l\u0069nks","items":[)" + items + "]}";
    for (int round = 0; round < 100; ++round) {
        for (const std::string& line : {fast, general}) {
            const auto decoded = decoder.decode(line, true);
            REQUIRE(std::holds_alternative<karma::Request>(decoded));
        }
        decoder.release();
    }
}

}  // namespace karma::test
