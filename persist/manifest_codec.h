#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "persist/snapshot_manifest.h"

namespace karma {

/// The bytes of a manifest: see docs/snapshot-format.md. Its id is in its key.
std::string encode_manifest(const SnapshotManifest& manifest);

/// Throws CorruptionError, naming the manifest, when the bytes are none that this version reads.
SnapshotManifest decode_manifest(std::uint64_t id, std::string_view bytes);

}  // namespace karma
