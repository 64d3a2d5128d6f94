#pragma once

#include <string_view>

#include "net/protocol.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"

namespace karma::net {

/// Protocol v2: a JSON object on each line.
class LineProtocol final : public Protocol {
public:
    /// `request_bytes_max` bounds a line. Decoder and writer outlive this; the decoder is that of the thread.
    LineProtocol(RequestDecoder& decoder, const ReplyWriter& writer, std::size_t request_bytes_max)
        : decoder_(decoder), writer_(writer), request_bytes_max_(request_bytes_max) {}

    Taken take(LineBuffer& input, bool accepts_writes, Request& request, Call& call, Error& refusal) override;
    void put_back(LineBuffer& input) noexcept override { input.put_back(line_); }
    void release() noexcept override { decoder_.release(); }
    std::optional<ErrorCode> write(const Call& call, const Reply& reply, Repetition repetition,
                                   const Deadline& deadline, std::string& out) const override;
    WriteError error_writer() const noexcept override { return &ReplyWriter::write_error; }

private:
    RequestDecoder& decoder_;
    const ReplyWriter& writer_;
    std::size_t request_bytes_max_;
    std::string_view line_;  // that was taken last
};

}  // namespace karma::net
