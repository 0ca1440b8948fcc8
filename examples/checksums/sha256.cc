// SPDX-License-Identifier: Apache-2.0
#include "sha256.h"

#include <string>

#include <openssl/err.h>

namespace checksums {
namespace {

// OpenSSL keeps its errors by thread: call it on the thread of the call that failed.
absl::Status openssl_error(const char* operation) {
  char reason[256] = "unknown reason";
  const unsigned long error = ERR_get_error();
  if (error != 0) ERR_error_string_n(error, reason, sizeof(reason));
  ERR_clear_error();
  return absl::InternalError(std::string(operation) + ": " + reason);
}

}  // namespace

absl::Status Sha256::start() {
  if (context_ == nullptr) context_.reset(EVP_MD_CTX_new());
  if (context_ == nullptr) return openssl_error("EVP_MD_CTX_new");
  if (EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
    return openssl_error("EVP_DigestInit_ex");
  }
  return absl::OkStatus();
}

absl::Status Sha256::update(std::span<const std::byte> data) {
  if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1) {
    return openssl_error("EVP_DigestUpdate");
  }
  return absl::OkStatus();
}

absl::StatusOr<Digest> Sha256::finish() {
  Digest digest;
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1 || size != digest.size()) {
    return openssl_error("EVP_DigestFinal_ex");
  }
  return digest;
}

}  // namespace checksums
