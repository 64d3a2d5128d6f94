#pragma once

#include <msgpack.hpp>

/// How the contents of a component are written and read. What holds them says how the values are put
/// together: see docs/snapshot-format.md.
namespace karma {

/// Takes the contents of a component, value by value.
class ContentsWriter {
public:
    using Packer = msgpack::packer<msgpack::sbuffer>;

    ContentsWriter() = default;
    ContentsWriter(const ContentsWriter&) = delete;
    ContentsWriter& operator=(const ContentsWriter&) = delete;
    virtual ~ContentsWriter() = default;

    /// Begins the next value, of which exactly one is to be packed. Valid until the next call.
    virtual Packer& next() = 0;
    /// Packs what describes the next of the component's series, as a part of the value.
    virtual void pack_series() = 0;
};

/// Gives them back.
class ContentsReader {
public:
    ContentsReader() = default;
    ContentsReader(const ContentsReader&) = delete;
    ContentsReader& operator=(const ContentsReader&) = delete;
    virtual ~ContentsReader() = default;

    /// The next value; null where a version has written it that had none further. Valid until the next call.
    virtual const msgpack::object* next() = 0;
    /// Takes what describes the next of the component's series.
    virtual void read_series(const msgpack::object& described) = 0;
};

}  // namespace karma
