#include <algorithm>
#include <map>

#include <doctest/doctest.h>

#include "replica/channel.h"
#include "replica/handshake.h"

namespace karma::replica {

namespace {

constexpr Epoch first{1, 77, 10};
constexpr Epoch second{2, 88, 50};
constexpr Epoch other_second{2, 66, 40};

// A history of 100 events whose checksums are their LSNs, of which those from 20 on are kept.
OwnHistory history(Epochs epochs) {
    return {100, 20, std::move(epochs), [](Lsn lsn) {
                HistoryMark mark{lsn, std::nullopt};
                if (lsn == 0 || (lsn >= 19 && lsn <= 100)) mark.checksum = static_cast<std::uint32_t>(lsn);
                return mark;
            }};
}

net::Subscription follower(Lsn after_lsn, Epochs epochs) {
    net::Subscription subscription;
    subscription.format = stream_format;
    subscription.name = "n";
    subscription.after_lsn = after_lsn;
    subscription.checksum = after_lsn;
    subscription.epochs = std::move(epochs);
    return subscription;
}

}  // namespace

TEST_CASE("handshake: who has a part of this history gets events, who is too old the state") {
    const OwnHistory own = history({first, second});
    CHECK(decide(follower(0, {}), own).verdict == Verdict::state);
    // What neither keeps is known by marks, or not at all.
    CHECK(decide(follower(5, {}), own).verdict == Verdict::unknown);
    CHECK(decide(follower(18, {first}), own).verdict == Verdict::unknown);
    net::Subscription marked = follower(18, {first});
    marked.marks = {{17, 17}, {16, 16}, {8, 8}};
    OwnHistory with_marks = own;
    with_marks.mark_at = [](Lsn lsn) {
        HistoryMark mark{lsn, std::nullopt};
        if (lsn % 16 == 0 || lsn >= 19) mark.checksum = static_cast<std::uint32_t>(lsn);
        return mark;
    };
    with_marks.first_kept_lsn = 19;
    CHECK(decide(marked, with_marks).verdict == Verdict::stream);
    with_marks.first_kept_lsn = 30;
    CHECK(decide(marked, with_marks).verdict == Verdict::state);
    marked.marks[1].checksum = 99;
    CHECK(decide(marked, with_marks).verdict == Verdict::diverged);
    // The begin of an epoch is an event that both have, where only one node can have appended after it.
    marked.marks.clear();
    CHECK(decide(marked, with_marks).verdict == Verdict::unknown);
    with_marks.epochs[0].node = 3;
    CHECK(decide(marked, with_marks).verdict == Verdict::state);
    CHECK(decide(follower(19, {first}), own).verdict == Verdict::stream);
    CHECK(decide(follower(49, {first}), own).verdict == Verdict::stream);
    CHECK(decide(follower(50, {first, second}), own).verdict == Verdict::stream);
    CHECK(decide(follower(100, {first, second}), own).verdict == Verdict::stream);
    net::Subscription asks = follower(100, {first, second});
    asks.is_empty = true;
    CHECK(decide(asks, own).verdict == Verdict::state);
    net::Subscription unknown = follower(60, {first, second});
    unknown.checksum.reset();
    CHECK(decide(unknown, own).verdict == Verdict::unknown);
    OwnHistory empty = history({});
    empty.last_lsn = 0;
    empty.is_empty = true;
    empty.first_kept_lsn = 1;
    CHECK(decide(follower(0, {}), empty).verdict == Verdict::stream);
}

TEST_CASE("handshake: other histories are told apart, at the LSN where they part") {
    const OwnHistory own = history({first, second});
    // It went on without the promotion at LSN 50.
    Decision decision = decide(follower(50, {first}), own);
    CHECK(decision.verdict == Verdict::diverged);
    CHECK(decision.common_lsn == 49);
    decision = decide(follower(5000, {first}), own);
    CHECK(decision.verdict == Verdict::diverged);
    CHECK(decision.common_lsn == 49);
    // It was promoted itself, before.
    decision = decide(follower(45, {first, other_second}), own);
    CHECK(decision.verdict == Verdict::diverged);
    CHECK(decision.common_lsn == 39);
    // The same epochs, and more events; or another event in the same place.
    CHECK(decide(follower(101, {first, second}), own).verdict == Verdict::diverged);
    net::Subscription differs = follower(70, {first, second});
    differs.checksum = 71;
    CHECK(decide(differs, own).verdict == Verdict::diverged);
}

TEST_CASE("handshake: epochs that begin after a follower's last event, or before the first, part no later") {
    const OwnHistory own = history({first, second});
    const Decision ahead = decide(follower(30, {first, {2, 66, 90}}), own);
    CHECK(ahead.verdict == Verdict::diverged);
    CHECK(ahead.common_lsn == 30);
    const Decision before = decide(follower(30, {{1, 66, 0}}), own);
    CHECK(before.verdict == Verdict::diverged);
    CHECK(before.common_lsn == 0);
}

TEST_CASE("handshake: a node is no master for who knows a later epoch") {
    CHECK(decide(follower(30, {first}), history({})).verdict == Verdict::stale);
    CHECK(decide(follower(60, {first, second}), history({first})).verdict == Verdict::stale);
    // Of two that were promoted at once, the one with the lower id gives way.
    CHECK(decide(follower(60, {first, second}), history({first, other_second})).verdict == Verdict::stale);
    CHECK(decide(follower(60, {first, other_second}), history({first, second})).verdict == Verdict::diverged);
}

TEST_CASE("handshake: of a long list of epochs the end is enough") {
    Epochs epochs;
    for (std::uint64_t i = 1; i <= 100; ++i) epochs.push_back({i, i * 7, i});
    OwnHistory own = history(epochs);
    own.last_lsn = 200;
    net::Subscription far = follower(100, {epochs.end() - epochs_told_max, epochs.end()});
    far.epochs_skipped = 100 - epochs_told_max;
    CHECK(decide(far, own).verdict == Verdict::stream);
    far.epochs.back().id = 1;
    const Decision decision = decide(far, own);
    CHECK(decision.verdict == Verdict::diverged);
    CHECK(decision.common_lsn == 99);
}

TEST_CASE("handshake: nothing is given up for a stranger, itself or an empty node without an order") {
    OwnHistory own = history({});
    own.database_id = {1, 1};
    own.chain = {10, 20};
    net::Subscription node = follower(50, {});
    node.database_id = {1, 1};
    node.node_id = 30;
    CHECK(decide(node, own).verdict == Verdict::stream);
    node.node_id = 20;
    CHECK(decide(node, own).verdict == Verdict::itself);
    node.node_id = 30;
    node.database_id = {1, 2};
    // Epochs of another database fence nobody.
    node.known_epoch = {9, 9, 0};
    CHECK(decide(node, own).verdict == Verdict::stranger);
    node.order = "now";
    const Decision ordered = decide(node, own);
    CHECK(ordered.verdict == Verdict::state);
    CHECK(ordered.is_ordered);
    CHECK(ordered.without_order == Verdict::stranger);
    node.database_id = {1, 1};
    CHECK(decide(node, own).verdict == Verdict::stale);
    node.known_epoch = {};
    // What needs no order uses none.
    CHECK(!decide(node, own).is_ordered);
    node.order.clear();
    own.is_empty = true;
    own.last_lsn = 0;
    CHECK(decide(node, own).verdict == Verdict::empty);
    node.order = "now";
    CHECK(decide(node, own).is_ordered);
    own.is_master = false;
    CHECK(decide(node, own).verdict == Verdict::empty);
    node.is_empty = true;
    CHECK(decide(node, own).verdict == Verdict::empty);
}

TEST_CASE("handshake: behind an empty master those who have nothing can wait in a chain") {
    OwnHistory own;
    own.mark_at = [](Lsn lsn) { return HistoryMark{lsn, std::nullopt}; };
    own.database_id = {1, 1};
    own.is_empty = true;
    own.is_master = false;
    net::Subscription node;
    node.node_id = 30;
    node.is_empty = true;
    node.checksum = 0;
    REQUIRE(decide(node, own).verdict == Verdict::stream);
    SUBCASE("but not behind one that knows no database yet") { own.database_id = {}; }
    SUBCASE("but not behind one that was left half-way") { own.is_half_way = true; }
    SUBCASE("but not left half-way itself") { node.checksum.reset(); }
    SUBCASE("but not with events") {
        node.is_empty = false;
        node.after_lsn = 1;
        SUBCASE("even by order") { node.order = "now"; }
    }
    SUBCASE("but not with events that it does not tell of") { node.after_lsn = 1; }
    CHECK(decide(node, own).verdict == Verdict::empty);
}

TEST_CASE("handshake: a follower tells marks at multiples that another node can know") {
    const std::vector<HistoryMark> marks = marks_below(1'000'003, [](Lsn lsn) {
        return HistoryMark{lsn, static_cast<std::uint32_t>(lsn)};
    });
    CHECK(marks.size() <= 64);
    for (Lsn spacing = 1; spacing < 1'000'000; spacing *= 2) {
        const Lsn wanted = (1'000'002 / spacing) * spacing;
        CHECK(std::ranges::count(marks, wanted, &HistoryMark::lsn) == 1);
    }
    CHECK(marks_below(1, [](Lsn lsn) { return HistoryMark{lsn, 1}; }).empty());
}

TEST_CASE("handshake: replies say what they were made of") {
    SubscribeReply accepted;
    accepted.accepted = true;
    accepted.state_follows = true;
    accepted.lsn = 5;
    accepted.is_proved = true;
    accepted.known_epoch = {2, 18446744073709551615U, 0};
    accepted.database_id = {7, 18446744073709551615U};
    accepted.node_id = 5;
    accepted.chain = {5, 18446744073709551615U};
    accepted.role = "follower";
    accepted.generation = 3;
    accepted.retention = {77, 88};
    const SubscribeReply read = read_reply(reply_line(accepted));
    CHECK(read.accepted);
    CHECK(read.state_follows);
    CHECK(read.lsn == 5);
    CHECK(read.is_proved);
    CHECK(read.known_epoch == accepted.known_epoch);
    CHECK(read.database_id == accepted.database_id);
    CHECK(read.node_id == 5);
    CHECK(read.chain == accepted.chain);
    CHECK(read.role == "follower");
    CHECK(read.generation == 3);
    CHECK(read.retention.records_max == 77);
    CHECK(read.retention.age_max_s == 88);
    SubscribeReply refused;
    refused.error_code = "replication_gap";
    refused.message = "no \"way\"";
    refused.common_lsn = 18446744073709551615U;
    refused.reason = "diverged";
    const SubscribeReply back = read_reply(reply_line(refused));
    CHECK(!back.accepted);
    CHECK(back.error_code == "replication_gap");
    CHECK(back.message == "no \"way\"");
    CHECK(back.common_lsn == 18446744073709551615U);
    CHECK(back.reason == "diverged");
    CHECK_THROWS_AS(read_reply("HTTP/1.1 400 Bad Request"), ChannelError);
    CHECK_THROWS_AS(read_reply(R"({"success":true,"response":{"format":1}})"), ChannelError);
    CHECK_THROWS_AS(read_reply(R"({"success":true,"response":{"format":2,"mode":"state"}})"), ChannelError);
    CHECK_THROWS_AS(read_reply(R"({"success":true,"response":null})"), ChannelError);
    // Who does not know the request says no more than that.
    const SubscribeReply old =
        read_reply(R"({"protocol_version":2,"success":false,"response":"?","error_code":"unknown_command"})");
    CHECK(old.error_code == "unknown_command");
    CHECK(old.lsn == 0);
    CHECK(!old.common_lsn);
}

}  // namespace karma::replica
