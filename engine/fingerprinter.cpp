#include "engine/fingerprinter.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <type_traits>

#include <openssl/evp.h>

#include "engine/day.h"
#include "engine/mutation_kinds.h"
#include "engine/resolve.h"

namespace karma {
namespace {

/// Writes canonical lines.
class Lines {
public:
    /// Keeps what `buffer` has taken from the system.
    explicit Lines(std::vector<char>& buffer) : buffer_(buffer) { buffer_.resize(buffer_.capacity()); }

    std::size_t size() const noexcept { return size_; }

    void text(std::string_view name, std::string_view value) {
        char* at = begin(name, 's', value.size());
        at = std::to_chars(at, at + digits_max, value.size()).ptr;
        *at++ = ':';
        at = std::copy(value.begin(), value.end(), at);
        end(at);
    }
    void number(std::string_view name, std::uint64_t value) { digits(name, 'u', value); }
    void count(std::string_view name, std::uint64_t value) { digits(name, 'i', value); }
    void none(std::string_view name) {
        char* at = room(name.size() + frame_max);
        at = std::copy(name.begin(), name.end(), at);
        *at++ = ':';
        *at++ = 'n';
        end(at);
    }

    void day(std::string_view name, Day value) { number(name, day_to_yyyymmdd(value)); }
    void range(DayRange value) {
        day("range_from", value.from);
        day("range_to", value.to);
    }
    void items(std::span<const mutation::Item> values) {
        count("items_count", values.size());
        for (const mutation::Item& item : values) {
            number("item_key", item.key);
            day("item_bucket", item.day);
            number("item_value", item.value);
        }
    }
    void keys(std::span<const std::uint64_t> values) {
        count("keys_count", values.size());
        for (const std::uint64_t key : values) {
            number("key_value", key);
        }
    }

private:
    static constexpr std::size_t digits_max = 20;
    static constexpr std::size_t frame_max = digits_max + 8;  // a length, colons, a type, the newline

    char* room(std::size_t bytes) {
        if (buffer_.size() - size_ < bytes) {
            buffer_.resize(std::max(2 * buffer_.size(), size_ + bytes));
        }
        return buffer_.data() + size_;
    }
    char* begin(std::string_view name, char type, std::size_t value_bytes) {
        char* at = room(name.size() + value_bytes + frame_max);
        at = std::copy(name.begin(), name.end(), at);
        *at++ = ':';
        *at++ = type;
        *at++ = ':';
        return at;
    }
    void end(char* at) {
        *at++ = '\n';
        size_ = static_cast<std::size_t>(at - buffer_.data());
    }
    void digits(std::string_view name, char type, std::uint64_t value) {
        char* const at = begin(name, type, 0);
        end(std::to_chars(at, at + digits_max, value).ptr);
    }

    std::vector<char>& buffer_;
    std::size_t size_ = 0;
};

/// The fields of the command of each fact, in the order of the protocol.
class FieldWriter {
public:
    explicit FieldWriter(Lines& lines) : lines_(lines) {}

    void operator()(const fact::Increment& m) { point(m); }
    void operator()(const fact::Decrement& m) { point(m); }
    void operator()(const fact::BatchAdd& m) { batch(m); }
    void operator()(const fact::BatchSet& m) { batch(m); }
    void operator()(const fact::MultiAdd& m) {
        lines_.count("items_count", m.items.size());
        for (const mutation::SeriesItem& item : m.items) {
            lines_.text("item_series", item.series);
            lines_.number("item_key", item.key);
            lines_.day("item_bucket", item.day);
            lines_.number("item_value", item.value);
        }
    }
    void operator()(const fact::ResetCounter& m) {
        lines_.text("series", m.series);
        lines_.number("key", m.key);
    }
    void operator()(const fact::ResetSeries& m) {
        lines_.text("series", m.series);
        lines_.none("key");
    }
    void operator()(const fact::BatchReset& m) {
        lines_.text("series", m.series);
        lines_.keys(m.keys);
    }
    void operator()(const fact::DeleteCounterRange& m) {
        lines_.text("series", m.series);
        lines_.number("key", m.key);
        lines_.range(m.range);
    }
    void operator()(const fact::DeleteSeriesRange& m) {
        lines_.text("series", m.series);
        lines_.none("key");
        lines_.range(m.range);
    }
    void operator()(const fact::BatchDeleteRange& m) {
        lines_.text("series", m.series);
        lines_.keys(m.keys);
        lines_.range(m.range);
    }
    void operator()(const fact::BeginStream& m) {
        lines_.text("stream_id", m.stream_id);
        lines_.text("mode", ingest_mode_name(m.mode));
        if (m.granularity) {
            lines_.text("granularity", *m.granularity);
        } else {
            lines_.none("granularity");
        }
    }
    template <OneOf<mutation::AddChunk, fact::AddChunk> M>
    void operator()(const M& m) {
        lines_.text("stream_id", m.stream_id);
        lines_.text("series", m.series);
        lines_.number("chunk_seq", m.chunk_seq);
        lines_.items(m.items);
    }
    template <Unkeyed M>
    void operator()(const M&) {
        throw std::logic_error("a mutation without a fingerprint");
    }

private:
    template <typename Body>
    void point(const Body& m) {
        lines_.text("series", m.series);
        lines_.number("key", m.key);
        lines_.day("bucket", m.day);
        lines_.number("value", m.value);
    }
    template <typename Body>
    void batch(const Body& m) {
        lines_.text("series", m.series);
        lines_.items(m.items);
    }

    Lines& lines_;
};

struct OperationOf {
    using Result = std::optional<Operation>;
    template <OneOf<mutation::Increment, fact::Increment> M>
    Result operator()(const M&) const {
        return Operation::increment;
    }
    template <OneOf<mutation::Decrement, fact::Decrement> M>
    Result operator()(const M&) const {
        return Operation::decrement;
    }
    Result operator()(const mutation::BatchAdd&) const { return Operation::batch_add; }
    Result operator()(const mutation::BatchSet&) const { return Operation::batch_set; }
    template <OneOf<mutation::MultiAdd, fact::MultiAdd> M>
    Result operator()(const M&) const {
        return Operation::multi_add;
    }
    Result operator()(const mutation::ResetCounter&) const { return Operation::reset; }
    Result operator()(const mutation::ResetSeries&) const { return Operation::reset; }
    Result operator()(const mutation::BatchReset&) const { return Operation::batch_reset; }
    template <OneOf<mutation::DeleteCounterRange, fact::DeleteCounterRange> M>
    Result operator()(const M&) const {
        return Operation::remove;
    }
    template <OneOf<mutation::DeleteSeriesRange, fact::DeleteSeriesRange> M>
    Result operator()(const M&) const {
        return Operation::remove;
    }
    template <OneOf<mutation::BatchDeleteRange, fact::BatchDeleteRange> M>
    Result operator()(const M&) const {
        return Operation::batch_delete_range;
    }
    Result operator()(const mutation::BeginStream&) const { return Operation::ingest_begin; }
    template <OneOf<mutation::AddChunk, fact::AddChunk> M>
    Result operator()(const M&) const {
        return Operation::ingest_chunk;
    }
    template <Unkeyed M>
    Result operator()(const M&) const {
        return std::nullopt;
    }
};

/// The lines of a request by its fact.
template <typename F>
void write_request(const F& fact, Lines& lines) {
    const std::optional<Operation> operation = OperationOf()(fact);
    if (!operation) {
        throw std::logic_error("a mutation without a fingerprint");
    }
    lines.text("command", operation_name(*operation));
    FieldWriter writer(lines);
    writer(fact);
}

void require(int success) {
    if (success != 1) {
        throw std::runtime_error("OpenSSL cannot compute SHA-256");
    }
}

}  // namespace

std::optional<Operation> operation_of(const Mutation& command) noexcept {
    return std::visit(OperationOf(), command);
}

std::optional<Operation> operation_of(const Fact& fact) noexcept { return std::visit(OperationOf(), fact); }

void Fingerprinter::FreeContext::operator()(evp_md_ctx_st* context) const noexcept {
    EVP_MD_CTX_free(context);
}
void Fingerprinter::FreeDigest::operator()(evp_md_st* digest) const noexcept { EVP_MD_free(digest); }

Fingerprinter::Fingerprinter()
    : digest_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    require(digest_ != nullptr && context_ != nullptr ? 1 : 0);
    require(EVP_DigestInit_ex2(context_.get(), digest_.get(), nullptr));
}

Fingerprinter::~Fingerprinter() = default;

std::string_view Fingerprinter::lines_of(const Mutation& command, std::int64_t now_ms) {
    Lines lines(buffer_);
    const auto write = [&](const auto& m) {
        if constexpr (ResolvedByClock<std::decay_t<decltype(m)>>) {
            write_request(resolve(m, now_ms), lines);
        } else {
            write_request(m, lines);
        }
    };
    std::visit(write, command);
    return {buffer_.data(), lines.size()};
}

std::string_view Fingerprinter::lines_of(const Fact& fact) {
    Lines lines(buffer_);
    std::visit([&](const auto& f) { write_request(f, lines); }, fact);
    return {buffer_.data(), lines.size()};
}

Fingerprint Fingerprinter::of(const Mutation& command, std::int64_t now_ms) {
    return digest_of(lines_of(command, now_ms));
}

Fingerprint Fingerprinter::of(const Fact& fact) { return digest_of(lines_of(fact)); }

Fingerprint Fingerprinter::digest_of(std::string_view lines) {
    Fingerprint fingerprint;
    // Without a digest it takes the one that the context has.
    require(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr));
    require(EVP_DigestUpdate(context_.get(), lines.data(), lines.size()));
    require(EVP_DigestFinal_ex(context_.get(), fingerprint.bytes.data(), nullptr));
    constexpr std::size_t bytes_kept = 256 * 1024;
    if (buffer_.capacity() > bytes_kept) {
        buffer_ = std::vector<char>();
    }
    return fingerprint;
}

}  // namespace karma
