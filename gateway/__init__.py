"""Sheyin (社银网关): the message gateway between a social-insurance bureau and the banks that pay its people."""
