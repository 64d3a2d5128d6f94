// Lines of a node that is asked: replies to requests and to a subscription, pieces of files in base64, pages
// of a Karma 1.0's log; and the subscription itself, with what is decided about it. The first byte says
// which.
#include <memory>
#include <string>

#include <boost/json/parse.hpp>

#include "engine/event_codec.h"
#include "net/base64.h"
#include "net/client_request.h"
#include "net/request_decoder.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "replica/handshake.h"
#include "replica/karma1/log.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

void check_reply_line(std::string_view line) {
    const replica::SubscribeReply reply = replica::read_reply(line);
    const replica::SubscribeReply again = replica::read_reply(replica::reply_line(reply));
    expect(again.accepted == reply.accepted && again.lsn == reply.lsn &&
               again.known_epoch == reply.known_epoch && again.state_follows == reply.state_follows &&
               again.error_code == reply.error_code && again.message == reply.message &&
               again.common_lsn == reply.common_lsn,
           "a reply that was written says what was read");
}

void check_base64(std::string_view text) {
    if (const auto bytes = net::decode_base64(text)) {
        std::string again;
        net::append_base64(*bytes, again);
        expect(net::decode_base64(again) == bytes, "what was decoded is encoded and decoded the same");
    }
}

Epochs read_epochs(InputReader& reader) {
    Epochs epochs;
    for (std::uint64_t left = reader.number(1) % 8; left > 0; --left) {
        epochs.push_back({reader.number(1), reader.number(1), reader.number(1)});
    }
    return epochs;
}

void check_subscription(std::string_view input) {
    InputReader reader(input);
    net::Subscription subscription;
    subscription.format = reader.number(1);
    subscription.after_lsn = reader.number(1);
    if (const std::uint64_t checksum = reader.number(1); checksum % 4 != 0) {
        subscription.checksum = checksum;
    }
    subscription.is_empty = reader.number(1) % 2 != 0;
    subscription.epochs = read_epochs(reader);
    replica::OwnHistory own;
    own.last_lsn = reader.number(1);
    own.first_kept_lsn = reader.number(1);
    own.epochs = read_epochs(reader);
    const auto checksum = static_cast<std::uint32_t>(reader.number(1));
    own.mark_at = [&](Lsn lsn) {
        expect(lsn <= own.last_lsn, "only of events that there are is the checksum asked");
        return HistoryMark{lsn, checksum};
    };
    subscription.name = "node";
    const replica::Decision decision = replica::decide(subscription, own);
    expect(!decision.common_lsn || *decision.common_lsn <= subscription.after_lsn,
           "what two nodes share is not after what the one has");

    const net::Access access("", "");
    net::RequestDecoder decoder(access);
    const std::string line = replica::subscribe_line(subscription, "");
    const net::Decoded decoded = decoder.decode_general(line, false);
    const auto* const request = std::get_if<Request>(&decoded);
    const auto* const subscribe = request == nullptr ? nullptr : std::get_if<control::Subscribe>(request);
    expect(subscribe != nullptr && subscribe->after_lsn == subscription.after_lsn &&
               subscribe->checksum == subscription.checksum &&
               subscribe->epochs.size() == subscription.epochs.size() * 3,
           "a subscription says what was written");
}

// A database that only knows the time.
const Database& clock_database() {
    static MemoryStorage storage;
    static const std::unique_ptr<Database> database = [] {
        DatabaseOptions options;
        options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
        return Database::open(options, storage);
    }();
    return *database;
}

void check_log_page(std::string_view text) {
    boost::system::error_code failure;
    const boost::json::value response = boost::json::parse(text, failure);
    if (failure) {
        return;
    }
    replica::MasterClient master(replica::machine_network(), {}, "");
    replica::Karma1Log log(master, clock_database());
    EventGroupBuilder group;
    log.take(response, 7, [&](const Event& event) { group.add(event); });
    if (!group.empty()) {
        std::string bytes;
        group.finish(bytes);
        read_event_group(bytes, [](const Event&) {});
    }
}

}  // namespace

void run_input(std::string_view input) {
    if (input.empty()) {
        return;
    }
    const std::string_view text = input.substr(1);
    try {
        switch (input.front()) {
            case 'r': return check_reply_line(text);
            case 'b': return check_base64(text);
            case 's': return check_subscription(text);
            case 'k': return check_log_page(text);
            default: return;
        }
    } catch (const replica::ChannelError&) {}
}

}  // namespace karma::test
