// What lies beside the log and the pages: idempotency records, ingest streams, manifests of snapshots, lists
// of a snapshot's pages, digests of a state, and the records of a Karma 1.0. The first byte says which.
#include <string>

#include "engine/error.h"
#include "engine/record_codec.h"
#include "persist/karma1/records_json.h"
#include "persist/manifest_codec.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

std::string records_again(std::string_view bytes) {
    std::string again;
    read_records(bytes, [&](const IdempotencyRecord& record) { append_record(record, again); });
    return again;
}

std::string stream_again(std::string_view bytes) { return encode_stream(decode_stream(bytes)); }

std::string manifest_again(std::string_view bytes) { return encode_manifest(decode_manifest(1, bytes)); }

std::string digests_again(std::string_view bytes) {
    const replica::Digests digests = replica::read_digests(bytes);
    expect(replica::difference(digests, digests).empty(), "digests do not differ from themselves");
    return replica::write_digests(digests);
}

// Whatever is read is written, read and written again without a difference.
template <typename Again>
void check_again(std::string_view bytes, Again&& again) {
    const std::string written = again(bytes);
    expect(again(written) == written, "what was read and written is read and written the same");
}

void check(char kind, std::string_view bytes) {
    switch (kind) {
        case 'i': return check_again(bytes, records_again);
        case 's': return check_again(bytes, stream_again);
        case 'm': return check_again(bytes, manifest_again);
        case 'd': return check_again(bytes, digests_again);
        case 'j':
            return read_records_json(
                bytes,
                [](const IdempotencyRecord& record) {
                    std::string written;
                    append_record(record, written);
                    expect(records_again(written) == written, "a record of Karma 1.0 can be kept");
                },
                [](const StreamInfo& stream) { (void)stream_again(encode_stream(stream)); });
        default: return;
    }
}

}  // namespace

void run_input(std::string_view input) {
    if (input.empty()) {
        return;
    }
    try {
        check(input.front(), input.substr(1));
    } catch (const CorruptionError&) {
    } catch (const replica::ChannelError&) {}
}

}  // namespace karma::test
