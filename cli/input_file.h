#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "persist/content_hash.h"

struct z_stream_s;

namespace karma::cli {

/// A file that cannot be opened or read, or whose gzip data is damaged or cut short. The text names the file.
class InputError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// What InputFile::read() found.
enum class InputState {
    data,
    idle,  // nothing came for a while, or a signal did; ask again
    end,
};

/// The bytes of a file, or of another descriptor such as standard input, as a stream. gzip is told by its
/// first two bytes and unpacked, with any number of members one after the other. Memory does not depend on
/// the file's size. Used by one thread.
class InputFile {
public:
    /// How long read() waits for a pipe or a terminal before it answers `idle`.
    static constexpr int idle_after_ms = 500;

    /// Of what a gzip file unpacks to, so much is kept, so that rewind() need not unpack it again.
    static constexpr std::size_t kept_bytes_max = std::size_t{32} << 20U;

    /// Opens `path`; "-" stands for the descriptor `standard_input`, which stays open afterwards. Throws
    /// InputError.
    InputFile(const std::string& path, int standard_input);
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;

    /// For messages: the path as it was given, or "standard input".
    const std::string& name() const { return name_; }

    /// Bytes of the file as it lies on the disk, where that is known.
    std::optional<std::uint64_t> size() const { return size_; }

    /// How many of those bytes have been read.
    std::uint64_t position() const { return position_; }

    /// Fills the beginning of `into`, which is not empty; `count` becomes the number of bytes, at least 1
    /// with `data` and 0 otherwise. Throws InputError, after all that came before the fault has been handed
    /// out.
    InputState read(std::span<char> into, std::size_t& count);

    /// Whether this can be read twice: a file can, a pipe cannot.
    bool can_rewind() const { return size_.has_value(); }

    /// Goes back to where reading began. Only where can_rewind(). Throws InputError.
    void rewind();

    /// The SHA-256 of what read() has handed out since the beginning or the last rewind(), 64 hexadecimal
    /// digits. Called once, at the end.
    std::string content_hash() { return hash_.take(); }

private:
    enum class Format { unknown, plain, gzip };

    /// As read(), from the file.
    InputState read_content(std::span<char> into, std::size_t& count);
    /// As read(), from what was kept.
    InputState read_kept(std::span<char> into, std::size_t& count);
    void keep(std::span<const char> bytes);
    /// Reads from the descriptor.
    InputState read_raw(std::span<char> into, std::size_t& count);
    /// Puts more raw bytes behind those that are left in raw_.
    InputState fill_raw();
    InputState detect_format();
    InputState read_plain(std::span<char> into, std::size_t& count);
    InputState read_gzip(std::span<char> into, std::size_t& count);
    /// The zero bytes that pad some archives are no member.
    void skip_padding();

    std::size_t raw_left() const { return raw_end_ - raw_start_; }

    std::string name_;
    int descriptor_ = -1;
    bool owned_ = false;
    bool waits_ = false;  // a read may block for long
    std::optional<std::uint64_t> size_;
    std::uint64_t position_ = 0;
    std::uint64_t offset_ = 0;  // where reading began
    ContentHash hash_;

    enum class Keeping { yes, no, complete };
    Keeping keeping_ = Keeping::yes;
    std::vector<char> kept_;  // the unpacked content from its beginning on
    bool replaying_ = false;
    std::size_t replayed_ = 0;

    Format format_ = Format::unknown;
    std::vector<char> raw_;  // raw_start_ to raw_end_ are read and not used yet
    std::size_t raw_start_ = 0;
    std::size_t raw_end_ = 0;
    bool raw_ended_ = false;
    std::unique_ptr<z_stream_s> inflater_;
    bool between_members_ = false;
};

}  // namespace karma::cli
