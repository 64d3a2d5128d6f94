#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <tuple>
#include <utility>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include "replica/channel.h"
#include "replica/digests.h"
#include "tests/support/certificates.h"
#include "tests/support/comes_true.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

using namespace karma::replica;

namespace {

std::array<int, 2> socket_pair() {
    std::array<int, 2> files{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, files.data()) == 0);
    return files;
}

// The next frame, waited for.
std::pair<FrameKind, std::string> receive(Channel& channel) {
    for (int i = 0; i < 10'000; ++i) {
        if (const auto frame = channel.next_frame()) return {frame->kind, std::string(frame->payload)};
        channel.pump(std::chrono::milliseconds(10));
    }
    FAIL("no frame came");
    return {};
}

std::string frame_bytes(const std::string& payload) {
    const std::array<int, 2> files = socket_pair();
    Channel channel{net::ByteStream(files[0])};
    const FileDescriptor other(files[1]);
    channel.queue(FrameKind::events, payload);
    channel.pump(std::chrono::milliseconds(0));
    std::string bytes(1000, '\0');
    const auto got = ::recv(other.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
}

// Frames of all sizes go both ways at once, between these two ends of a connection.
void exchange_frames(net::ByteStream one_end, net::ByteStream other_end) {
    std::mt19937_64 random = random_engine("channel");
    std::vector<std::string> payloads;
    for (int i = 0; i < 200; ++i) {
        const std::size_t bytes_max = i % 20 == 0 ? 3'000'000 : 3'000;
        payloads.emplace_back(random_between(random, 0, bytes_max), static_cast<char>(random()));
    }
    const auto exchange = [&](net::ByteStream stream) {
        Channel channel(std::move(stream));
        for (const std::string& payload : payloads) channel.queue(FrameKind::events, payload);
        std::size_t seen = 0;
        while (seen < payloads.size() || channel.queued_bytes() != 0) {
            while (seen < payloads.size()) {
                const auto frame = channel.next_frame();
                if (!frame) break;
                if (frame->kind != FrameKind::events || frame->payload != payloads[seen]) return false;
                ++seen;
            }
            channel.pump(std::chrono::milliseconds(10));
        }
        // The other one may still be reading.
        channel.queue(FrameKind::alive, {});
        while (true) {
            const bool is_told = channel.next_frame().has_value();
            while (is_told && channel.queued_bytes() != 0) channel.pump(std::chrono::milliseconds(10), false);
            if (is_told) return true;
            channel.pump(std::chrono::milliseconds(10));
        }
    };
    bool other_is_right = false;
    std::thread other([&] { other_is_right = exchange(std::move(other_end)); });
    CHECK(exchange(std::move(one_end)));
    other.join();
    CHECK(other_is_right);
}

}  // namespace

TEST_CASE("channel: frames of all sizes arrive as they were sent, both ways at once") {
    const std::array<int, 2> files = socket_pair();
    exchange_frames(net::ByteStream(files[0]), net::ByteStream(files[1]));
}

TEST_CASE("channel: the same over TLS") {
    const TempDir directory;
    const CertificateAuthority authority(directory.path(), "authority");
    const auto own = authority.issue("server");
    const auto server = net::TlsContext::for_server({own.certificate, own.key, ""});
    const auto client = net::TlsContext::for_client({"", "", authority.file()});
    const std::array<int, 2> files = socket_pair();
    exchange_frames(net::ByteStream(files[0], server->accept()),
                    net::ByteStream(files[1], client->connect("localhost")));
}

TEST_CASE("channel: a damaged frame, one that is too long and an end are errors") {
    const std::string sound = frame_bytes("payload");
    for (std::size_t i = 5; i < sound.size(); ++i) {  // the checksum and the payload
        CAPTURE(i);
        std::string damaged = sound;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        const std::array<int, 2> files = socket_pair();
        const FileDescriptor other(files[1]);
        Channel channel{net::ByteStream(files[0]), damaged};
        CHECK_THROWS_AS(channel.next_frame(), ChannelError);
    }
    {
        const std::array<int, 2> files = socket_pair();
        const FileDescriptor other(files[1]);
        Channel channel{net::ByteStream(files[0]), std::string("\x03\xFF\xFF\xFF\xFF\0\0\0\0", 9)};
        CHECK_THROWS_AS(channel.next_frame(), ChannelError);
    }
    const std::array<int, 2> files = socket_pair();
    Channel channel{net::ByteStream(files[0]), sound.substr(0, 12)};
    ::close(files[1]);
    CHECK(!channel.next_frame());
    CHECK_THROWS_AS(receive(channel), ChannelError);
}

TEST_CASE("channel: a wake ends a wait, also one that comes before it") {
    const std::array<int, 2> files = socket_pair();
    const FileDescriptor other(files[1]);
    Channel channel{net::ByteStream(files[0])};
    std::atomic<int> waits_ended = 0;
    std::atomic<bool> waits_again = false;
    channel.wake();
    std::thread waiter([&] {
        channel.pump(std::chrono::hours(1));
        ++waits_ended;
        waits_again = true;
        channel.pump(std::chrono::hours(1));
        ++waits_ended;
    });
    CHECK(comes_true([&] { return waits_again.load(); }));
    // One wake is good for one wait: nothing ends the second one, as long as one can watch it.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(waits_ended == 1);
    channel.wake();
    const bool ended = comes_true([&] { return waits_ended == 2; });
    CHECK(ended);
    if (!ended) ::shutdown(other.get(), SHUT_RDWR);  // so that this test ends all the same
    waiter.join();
    CHECK(channel.bytes_received() == 0);
}

TEST_CASE("digests: those of versions without idempotency records are read, and read these") {
    const Digests here{7, {1, 2}, {{"a", {3, 4}}}, RecordsDigest{2, {8, 9}}};
    using Number = std::tuple<std::uint64_t, std::uint64_t>;
    using Before = std::tuple<Lsn, Number, std::map<std::string, Number>>;
    const std::string written = write_digests(here);
    Before before;
    msgpack::unpack(written.data(), written.size()).get().convert(before);
    CHECK(before == Before{7, {1, 2}, {{"a", {3, 4}}}});
    msgpack::sbuffer buffer;
    msgpack::pack(buffer, before);
    const Digests read = read_digests({buffer.data(), buffer.size()});
    CHECK(read.lsn == 7);
    CHECK(read.series == here.series);
    CHECK_FALSE(read.records.has_value());
    CHECK(difference(here, read).empty());
}

TEST_CASE("digests: what differs is named") {
    Digests here{7, {1, 2}, {{"a", {3, 4}}, {"b", {5, 6}}}, RecordsDigest{2, {8, 9}}};
    Digests there = here;
    CHECK(difference(here, there).empty());
    CHECK(read_digests(write_digests(here)) == here);
    there.series["b"].low = 0;
    CHECK(difference(here, there) == "series \"b\"");
    there.series.erase("a");
    there.series["c"] = {};
    CHECK(difference(here, there) == "series \"a\", \"b\", \"c\"");
    there = here;
    there.beside.high = 0;
    CHECK(difference(here, there) == "checkpoints, ingest streams or epochs");
    there = here;
    there.records->sum.high = 0;
    CHECK(difference(here, there) == "idempotency records (2 here, 2 there)");
    there.series.erase("a");
    CHECK(difference(here, there) == "series \"a\", and idempotency records (2 here, 2 there)");
    there = here;
    there.records.reset();  // it does not know
    CHECK(difference(here, there).empty());
    CHECK(read_digests(write_digests(there)) == there);
    std::swap(here, there);  // this one does not
    CHECK(difference(here, there).empty());
    std::swap(here, there);
    CHECK_THROWS_AS(read_digests("\x01"), ChannelError);
    std::string long_name(199, 'n');
    for (int i = 0; i < 1'000; ++i) long_name += "\xC3\xA4";
    there.series[long_name] = {};
    CHECK(difference(here, there).starts_with("series \"" + std::string(199, 'n') + "...\""));
    there = here;
    there.beside.high = 0;
    for (int i = 0; i < 30; ++i) here.series["s" + std::to_string(i)] = {1, 1};
    CHECK(difference(here, there).ends_with(" and 20 more, and checkpoints, ingest streams or epochs"));
}

}  // namespace karma::test
