// What each op is said to take, and what its decoder takes.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "net/op_fields.h"
#include "net/op_table.h"
#include "net/request_decoder.h"
#include "tests/support/json.h"

namespace karma::test {

namespace {

// A good value for every field of every op; a field that is new needs one here.
boost::json::object sample_fields(std::string_view op) {
    boost::json::object fields = boost::json::parse(R"({
        "series":"a", "tree":"a", "key":1, "value":2, "bucket":20260505, "date":20260505, "before":20260505,
        "keys":[1], "range":{"from":20260501,"to":20260531}, "as_of":1, "limit":5, "cursor":3, "items":[[1,20260505,1]],
        "stream_id":"s", "mode":"add", "granularity":"day", "chunk_seq":1, "file":"1_a.tree", "offset":0,
        "source":"q", "source_offset":"4", "event_id":"e", "checked_points":1, "mismatch_count":0,
        "absolute_drift":0, "max_abs_delta":0, "after_lsn":0, "lsn":1, "from":1, "to":2, "last_lsn":1,
        "export_id":"e", "snapshot":"new", "format":1, "name":"n", "checksum":1, "epochs":[1,2,3],
        "epochs_skipped":0, "marks":[1,2], "heartbeat_ms":9, "database_id":null, "node_id":null,
        "known_epoch":0, "known_epoch_id":0, "empty":0, "syncs":0, "port":1, "fails_over":0, "order":"o",
        "epoch":1, "epoch_id":2, "stores_lists":0, "force":false, "ordered":false, "silence_ms":1
    })")
                                     .as_object();
    if (op.starts_with("counter.multi_")) fields["items"] = boost::json::parse(R"([{"series":"a","key":1}])");
    if (op == "idempotency.prune" || op == "ingest.prune") fields["before"] = 5;
    return fields;
}

// The names that the decoder of an op asks for while it reads these fields. It stops at a missing one.
void note_asked(const net::Op& op, const boost::json::object& fields, std::set<std::string>& asked) {
    boost::json::monotonic_resource arena;
    net::Fields reader(fields, arena);
    reader.note_names(asked);
    try {
        const net::Decoded decoded = op.decode(reader);
        if (op.idempotent) {
            reader.idempotency_key();
            reader.fingerprint();
        }
    } catch (const RequestError&) {
        return;  // a field that the others need was taken away
    }
}

std::string refusal(const std::string& line, bool refuses = true) {
    const net::Access open("", "");
    net::RequestDecoder decoder(open, {.response_bytes_max = 0, .refuses_unknown_fields = refuses});
    const net::Decoded decoded = decoder.decode(line, true);
    const auto* const error = std::get_if<Error>(&decoded);
    return error == nullptr ? "" : std::string(error_code_name(error->code)) + ": " + error->message;
}

}  // namespace

TEST_CASE("op fields: a decoder takes what is described, and nothing else") {
    for (const net::OpName& entry : net::all_ops()) {
        const net::Op& op = entry.op;
        CAPTURE(entry.name);
        std::set<std::string> asked;
        const boost::json::object all = sample_fields(op.name);
        note_asked(op, all, asked);
        // Fields that stand in for others are asked for when those are missing.
        for (const auto& left_out : all) {
            boost::json::object fields = all;
            fields.erase(left_out.key());
            note_asked(op, fields, asked);
        }
        const std::vector<std::string_view> described = net::op_field_names(op);
        const std::set<std::string> names(described.begin(), described.end());
        CHECK(names.size() == described.size());
        CHECK(names == asked);
    }
}

TEST_CASE("op fields: optional is what a request can leave out") {
    for (const net::OpName& entry : net::all_ops()) {
        const net::Op& op = entry.op;
        CAPTURE(entry.name);
        // Those in brackets are left out, and of names that mean the same the first is taken.
        const std::string text = net::op_fields_text(op);
        boost::json::object fields;
        const boost::json::object all = sample_fields(op.name);
        std::size_t begin = 0;
        while (begin < text.size()) {
            const std::size_t end = std::min(text.find(' ', begin), text.size());
            const std::string part = text.substr(begin, end - begin);
            begin = end + 1;
            if (part.starts_with('[')) continue;
            const std::string name = part.substr(0, part.find('|'));
            fields[name] = all.at(name);
        }
        // They need one of two.
        if (op.name == "recovery.checkpoint") fields["event_id"] = "e";
        if (op.name == "replication.forget_follower") fields["name"] = "n";
        boost::json::monotonic_resource arena;
        const net::Fields reader(fields, arena);
        CHECK_NOTHROW(op.decode(reader));
        for (const auto& needed : fields) {
            boost::json::object fewer = fields;
            fewer.erase(needed.key());
            const net::Fields short_reader(fewer, arena);
            CAPTURE(std::string(needed.key()));
            CHECK_THROWS_AS(op.decode(short_reader), RequestError);
        }
    }
}

TEST_CASE("op fields: a number has the range that is described") {
    std::size_t checked = 0;
    for (const net::OpGroup* const group : net::op_groups()) {
        for (const net::Op& op : group->ops) {
            CAPTURE(op.name);
            const auto accepts = [&](std::string_view name, std::uint64_t number) {
                boost::json::object fields = sample_fields(op.name);
                if (op.name != "tree.keys") fields["cursor"] = nullptr;  // where it is a text
                fields[name] = number;
                boost::json::monotonic_resource arena;
                try {
                    const net::Decoded decoded = op.decode(net::Fields(fields, arena));
                    return std::holds_alternative<Request>(decoded);
                } catch (const RequestError&) {
                    return false;
                }
            };
            for (const net::OpField& field : op.fields) {
                const net::Bounds& bounds = field.bounds;
                const std::string_view name = field.field->name;
                CAPTURE(name);
                if (bounds.low != 0 || bounds.high != net::Bounds().high) {
                    CHECK(accepts(name, bounds.low));
                    CHECK(accepts(name, bounds.high));
                    ++checked;
                }
                if (bounds.low != 0) CHECK_FALSE(accepts(name, bounds.low - 1));
                if (bounds.high != net::Bounds().high) CHECK_FALSE(accepts(name, bounds.high + 1));
                // A default is within it.
                CHECK(bounds.otherwise.value_or(bounds.low) >= bounds.low);
                CHECK(bounds.otherwise.value_or(bounds.low) <= bounds.high);
            }
        }
    }
    CHECK(checked > 15);
}

TEST_CASE("op fields: an unknown field is refused where that was asked for, and passed over otherwise") {
    const std::string typo = R"({"v":2,"op":"counter.increment","series":"a","key":1,"bukcet":20260505})";
    CHECK(refusal(typo, false).empty());
    CHECK(
        refusal(typo) ==
        "validation_error: Field bukcet is unknown to counter.increment: the nearest known one is bucket; it "
        "takes series|tree key [bucket|date] [value] [reply] [idempotency_key] [fingerprint]");
    CHECK(
        refusal(R"({"v":2,"op":"counter.reset","series":"a","key":1,"bucket":20260505})") ==
        "validation_error: Field bucket is unknown to counter.reset: the nearest known one is key; it takes "
        "series|tree key [idempotency_key] [fingerprint]");
    CHECK(refusal(R"({"v":2,"op":"system.ping","series":"a"})") ==
          "validation_error: Field series is unknown to system.ping; it takes no fields");
    // What the fast path knows, but not of these ops.
    for (
        const char* const line :
        {R"({"v":2,"op":"counter.sum","series":"a","key":1,"bucket":20260505})",
         R"({"v":2,"op":"counter.increment","series":"a","key":1,"keys":[1]})",
         R"({"v":2,"op":"series.batch_add","series":"a","items":[[1,20260505,1]],"value":1})",
         R"({"v":2,"op":"counter.batch_sum","series":"a","keys":[1],"idempotency_key":"k"})",
         R"({"v":2,"op":"ingest.chunk","stream_id":"s","chunk_seq":1,"series":"a","items":[],"key":5})",
         R"({"v":2,"op":"counter.series","series":"a","key":1,"range":{"from":20260501,"to":20260531},"value":5})"}) {
        CAPTURE(line);
        CHECK(refusal(line, false).empty());
        CHECK(refusal(line).starts_with("validation_error: Field "));
    }
    // Inside of fields.
    CHECK(refusal(R"({"v":2,"op":"tree.top","series":"a","range":{"from":20260501,"to":20260531,"form":1}})")
              .starts_with(
                  "validation_error: Field range.form is unknown to tree.top: the nearest known one is "
                  "range.from; it takes "));
    CHECK(refusal(R"({"v":2,"op":"counter.multi_sum","items":[{"series":"a","key":1,"kye":2}]})")
              .starts_with("validation_error: Field items[].kye is unknown to counter.multi_sum: the nearest "
                           "known one is items[].key; it takes "));
}

TEST_CASE("op fields: what is known is taken under every name, with a token, and by other nodes anything") {
    for (
        const char* const line :
        {R"({"v":2,"op":"series.increment","tree":"a","key":1,"date":20260505,"value":1,"token":"t"})",
         R"({"v":2,"op":"counter.increment","series":"a","key":1,"idempotency_key":"k","fingerprint":null})",
         R"({"v":2,"op":"counter.sum","series":"a","key":1,"range":{"from":20260501,"to":20260531},"as_of":1})",
         R"({"v":2,"op":"replication.fence","epoch":1,"epoch_id":2,"of_later_version":1})"}) {
        CAPTURE(line);
        CHECK(refusal(line).empty());
    }
}

}  // namespace karma::test
