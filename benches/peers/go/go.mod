// SPDX-License-Identifier: Apache-2.0

module skua/benches/peers/go

go 1.19
