"""Which addresses are private, and that a name is looked up once."""

from __future__ import annotations

import pytest

from pexecutor.notifications.addresses import ADDRESSES_TRIED_MAX, PrivateAddressError, addresses_of, is_public

from .network import Names

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"]
REFUSED = {
    "loopback": ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1"],
    "private": ["10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1", "fec0::1", "::ffff:10.0.0.1"],
    "shared": ["100.64.0.1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "::7f00:1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "for documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"],
    "not an address": ["", "localhost", "1.2.3"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("kind", REFUSED)
def test_no_other_address_is_allowed(kind: str) -> None:
    assert [address for address in REFUSED[kind] if is_public(address)] == []


async def test_only_the_public_addresses_of_a_name_are_used(names: Names) -> None:
    names.known["both.example"] = ["10.0.0.1", "93.184.215.14", "::1"]
    names.known["private.example"] = ["10.0.0.1", "::1"]

    assert await addresses_of("both.example", 443, allow_private=False) == ["93.184.215.14"]
    assert await addresses_of("both.example", 443, allow_private=True) == names.known["both.example"]
    with pytest.raises(PrivateAddressError):
        await addresses_of("private.example", 443, allow_private=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "::1", "::ffff:7f00:1"])
async def test_an_unusual_spelling_of_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(PrivateAddressError):
        await addresses_of(host, 80, allow_private=False)


async def test_a_name_with_many_addresses_has_a_bounded_number_of_tries(names: Names) -> None:
    names.known["many.example"] = [f"93.184.215.{number}" for number in range(100)]

    assert len(await addresses_of("many.example", 443, allow_private=False)) == ADDRESSES_TRIED_MAX
