// Writes what the corpus of each target begins with: <folder>/<target>/<number>. Usage:
//
//     karma_fuzz_seeds <folder>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "engine/event_codec.h"
#include "net/base64.h"
#include "net/request_decoder.h"
#include "persist/database.h"
#include "persist/karma1/records_json.h"
#include "persist/karma1/tree_format.h"
#include "persist/manifest_codec.h"
#include "persist/memory_storage.h"
#include "persist/record_store.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "replica/handshake.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {
namespace {

namespace json = boost::json;

constexpr std::size_t seed_bytes_max = 8'192;

// The folder of seeds.
class Seeds {
public:
    explicit Seeds(std::filesystem::path folder) : folder_(std::move(folder)) {}

    // Leaves out what is too long to be changed with any hope.
    void add(const std::string& target, std::string_view bytes) {
        if (bytes.size() <= seed_bytes_max) {
            const std::filesystem::path folder = folder_ / target;
            std::filesystem::create_directories(folder);
            write_file(folder / std::to_string(++counts_[target]), bytes);
        }
    }

    void print() const {
        for (const auto& [target, count] : counts_) {
            std::printf("%s: %zu\n", target.c_str(), count);
        }
    }

private:
    std::filesystem::path folder_;
    std::map<std::string, std::size_t> counts_;
};

std::string with_length(std::string_view text) {
    std::string bytes{static_cast<char>(text.size() >> 8U), static_cast<char>(text.size() & 0xFFU)};
    return bytes += text;
}

std::string frame(replica::FrameKind kind, std::string_view payload) {
    return static_cast<char>(kind) + with_length(payload);
}

// The request lines of a recorded conversation.
std::vector<std::string> lines_of(const std::filesystem::path& conversation) {
    constexpr std::size_t line_bytes_max = 1'000;
    std::vector<std::string> lines;
    std::ifstream file(conversation);
    for (std::string text; std::getline(file, text);) {
        const json::value step = json::parse(text);
        const json::value* const send = step.get_object().if_contains("send");
        if (send != nullptr && send->get_string().size() <= line_bytes_max) {
            lines.emplace_back(send->get_string());
        }
    }
    return lines;
}

void add_requests(Seeds& seeds, const std::vector<std::string>& lines) {
    constexpr std::size_t at_once = 16;
    for (std::size_t begin = 0; begin < lines.size(); begin += at_once) {
        std::string text;
        for (std::size_t i = begin; i < std::min(begin + at_once, lines.size()); ++i) {
            text += lines[i] + "\n";
        }
        seeds.add("requests", text);
    }
}

// What Karma 1.0 says of the same mutations: pages of its log, and its files.
void add_karma1(Seeds& seeds, const std::vector<std::string>& entries) {
    std::string page;
    std::string file;
    std::size_t lsn = 0;
    for (const std::string& entry : entries) {
        ++lsn;
        const auto line = [&](std::size_t number) {
            return "{\"lsn\":" + std::to_string(number) + ",\"entry\":" + entry + "}";
        };
        page += (page.empty() ? "" : ",") + line(7 + lsn);
        file += line(lsn) + "\n";
        if (page.size() > seed_bytes_max / 4 || lsn == entries.size()) {
            seeds.add("replies",
                      "k{\"source_lsn\":" + std::to_string(7 + lsn) + ",\"entries\":[" + page + "]}");
            std::string parts = file;
            for (const std::string& part :
                 {std::string("{\"lsn\":1,\"entry\":{}}\n"),
                  R"({"tree":"s","last_lsn":)" + std::to_string(lsn) + "}", std::to_string(lsn) + "\n"}) {
                parts.push_back('\0');
                parts += part;
            }
            seeds.add("karma1_files", parts);
            return;
        }
    }
}

void add_groups(Seeds& seeds, Database& database) {
    std::string together;
    database.read_log(1, [&](const EventGroup& group) {
        seeds.add("events", group.bytes);
        // Behind the head of the envelope: version, checksum, length.
        constexpr std::size_t head_bytes_max = 12;
        for (std::size_t at = 1; at < std::min(group.bytes.size(), head_bytes_max); ++at) {
            if (group.bytes[at] == '\x95') {
                seeds.add("events", group.bytes.substr(at));
                break;
            }
        }
        together += frame(replica::FrameKind::events, group.bytes);
        return together.size() < seed_bytes_max / 2;
    });
    seeds.add("follower", "\x01" + together);
}

void add_state(Seeds& seeds, Database& database) {
    const auto pin = database.pin_log(0);
    std::string frames(1, '\x01');
    database.read_state(*pin)->read([&](std::string_view piece) {
        if (piece.size() < 0x10000) {
            frames += frame(replica::FrameKind::state_piece, piece);
        }
    });
    frames += frame(replica::FrameKind::state_end, "");
    frames += frame(replica::FrameKind::heartbeat, std::string(8, '\x01'));
    frames += frame(replica::FrameKind::digest,
                    replica::write_digests(replica::digests_of(database.view(), NoDeadline())));
    seeds.add("follower", frames);
}

void add_records(Seeds& seeds, const MemoryStorage& storage, Database& database) {
    read_idempotency_records(storage, [&](std::span<const IdempotencyRecord> records) {
        std::string bytes;
        for (const IdempotencyRecord& record : records) {
            append_record(record, bytes);
        }
        seeds.add("records", "i" + bytes);
        return true;
    });
    const StateView view = database.view();
    read_committed_streams(storage, view.lsn, [&](const StreamInfo& stream) {
        seeds.add("records", "s" + encode_stream(stream));
    });
    std::vector<SeriesView> views;
    seeds.add("records", "m" + encode_manifest(manifest_of(view, 1, views)));
    seeds.add("records", "d" + replica::write_digests(replica::digests_of(view, NoDeadline())));
    std::string records;
    write_records_json(storage, {0, view.lsn, {}, {}}, [&](std::string_view piece) { records += piece; });
    seeds.add("records", "j" + records);
}

void add_pages(Seeds& seeds, Database& database) {
    constexpr std::string_view acts(
        "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0B\x48\x1C\x0B\x48\x1D\x0C\x00", 18);
    for (const SeriesView& view : database.view().series) {
        for (const PageRef& page : view.pages()) {
            seeds.add("pages", with_length(acts) + std::string(page->image()));
        }
        std::string file;
        write_tree(
            view.pages().size(), [&](std::size_t number) { return view.pages()[number]; },
            [&](std::string_view piece) { file += piece; });
        seeds.add("trees", file);
    }
}

void add_conversation(Seeds& seeds, const std::filesystem::path& conversation) {
    const std::vector<std::string> lines = lines_of(conversation);
    add_requests(seeds, lines);
    MemoryStorage storage;
    DatabaseOptions options;
    options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
    const auto database = Database::open(options, storage);
    (void)database->wait_until_ready();
    const net::Access access("", "");
    net::RequestDecoder decoder(access);
    std::vector<std::string> accepted;
    for (const std::string& line : lines) {
        Request request;
        net::Call call;
        if (!decoder.decode(line, true, request, call)) {
            const Lsn before = database->last_lsn();
            (void)database->call(request);
            if (database->last_lsn() != before) {
                accepted.push_back(line);
            }
        }
        decoder.release();
    }
    add_karma1(seeds, accepted);
    add_groups(seeds, *database);
    add_state(seeds, *database);
    add_records(seeds, storage, *database);
    add_pages(seeds, *database);
}

void add_csv(Seeds& seeds) {
    for (const char* const text :
         {"1,20260505,3\n2,2026-05-06,18446744073709551615\n",
          "key,bucket,value\r\n1,20260505,3\r\n\r\n2,20260230,0\n",
          "\xef\xbb\xbf\"value\", KEY ,date\n\"3\", 1 ,\"2026-05-05\"\n3,1,20260505,\n",
          "7,20260505\n8,20240229\n\n9", "1,2,3,4\n\"1,20260505,1\n1,\"20260505\"x,1\n",
          "1\x01\x01\x01\x01\x01,20260505,1\n2,20260505,1\n"}) {
        for (const char* const head : {"\x00\x00", "\x05\x01", "\x20\x05"}) {
            seeds.add("csv", std::string(head, 2) + text);
        }
    }
}

// What no database writes: a day, and a key, that are there twice.
void add_damaged_trees(Seeds& seeds) {
    const std::string head =
        "\x82\xa8"
        "branches";
    const std::string tail =
        "\xac"
        "branches_num\x01";
    const std::string day("\xce\x01\x35\x26\x99", 5);
    const std::string counter =
        "\x81\x01\x81\xa5"
        "table";
    seeds.add("trees", head + "\x91" + counter + "\x82" + day + "\x01" + day + "\x02" + tail);
    const std::string once = counter + "\x81" + day + "\x01";
    seeds.add("trees", head + "\x92" + once + once + tail);
}

void add_replies(Seeds& seeds) {
    replica::SubscribeReply reply;
    reply.accepted = true;
    reply.lsn = 17;
    reply.known_epoch = {3, 4, 0, 5};
    seeds.add("replies", "r" + replica::reply_line(reply));
    reply.accepted = false;
    reply.error_code = "replication_gap";
    reply.message = "no";
    reply.common_lsn = 5;
    seeds.add("replies", "r" + replica::reply_line(reply));
    std::string text;
    net::append_base64("some bytes", text);
    seeds.add("replies", "b" + text);
    seeds.add(
        "replies",
        std::string("s\x01\x08\x05\x00\x02\x01\x07\x01\x02\x08\x05\x0A\x01\x02\x01\x07\x01\x02\x09\x05\x05",
                    22));
}

}  // namespace
}  // namespace karma::test

int main(int count, char** arguments) {
    if (count != 2) {
        (void)std::fputs("usage: karma_fuzz_seeds <folder>\n", stderr);
        return 2;
    }
    try {
        karma::test::Seeds seeds(arguments[1]);
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(karma::test::test_file("conformance"))) {
            if (entry.path().extension() == ".jsonl") {
                karma::test::add_conversation(seeds, entry.path());
            }
        }
        karma::test::add_csv(seeds);
        karma::test::add_damaged_trees(seeds);
        karma::test::add_replies(seeds);
        seeds.print();
    } catch (const std::exception& failure) {
        (void)std::fprintf(stderr, "karma_fuzz_seeds: %s\n", failure.what());
        return 1;
    }
    return 0;
}
