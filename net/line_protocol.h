#pragma once

#include <string_view>

#include "net/protocol.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"
#include "net/v1_decoder.h"
#include "net/v1_reply_writer.h"

namespace karma::net {

/// One JSON object a line: requests of protocol v2, and of v1 where the options allow it. An object with `v`
/// or `op` is of v2, one with `command` of v1. A line of neither is answered in the protocol of the request
/// before it.
class LineProtocol final : public Protocol {
public:
    /// `request_bytes_max` bounds a line. Decoders and writer outlive this object; the thread has one of
    /// each. Without `v1` every line is of protocol v2.
    LineProtocol(RequestDecoder& decoder, const ReplyWriter& writer, std::size_t request_bytes_max,
                 const V1Decoder* v1 = nullptr)
        : decoder_(decoder),
          writer_(writer),
          v1_(v1),
          request_bytes_max_(request_bytes_max),
          form_(v1 == nullptr ? ReplyForm::v2 : ReplyForm::v1) {}

    Taken take(LineBuffer& input, bool accepts_writes, Request& request, Call& call, Error& refusal) override;
    void put_back(LineBuffer& input) noexcept override { input.put_back(line_); }
    void release() noexcept override { decoder_.release(); }
    std::optional<ErrorCode> write(const Call& call, const Reply& reply, Deduplication deduplication,
                                   const Deadline& deadline, std::string& out) const override;
    WriteError error_writer() const noexcept override {
        return form_ == ReplyForm::v2 ? &ReplyWriter::write_error : &V1ReplyWriter::write_error;
    }

private:
    std::optional<Error> decode(bool accepts_writes, Request& request, Call& call);
    std::optional<Error> decode_either(bool accepts_writes, Request& request, Call& call);
    void answer_as(ReplyForm form, Call& call) noexcept;

    RequestDecoder& decoder_;
    const ReplyWriter& writer_;
    const V1Decoder* v1_;  // null: v2 only
    std::size_t request_bytes_max_;
    std::string_view line_;  // the one that was taken last
    ReplyForm form_;         // v2 or v1: the protocol of the last valid line
};

}  // namespace karma::net
