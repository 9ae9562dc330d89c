"""Every setting of the configuration in one sentence, and what to ask a bank about it: the one place for `sheyin init` and the docs.

A key is the setting's path with the numbers left out (``bank.agreement.credited``). A test compares the keys with the types: a setting
without its sentence does not pass.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One setting: its sentence, and the question to the bank in its own language where the bank has the answer."""

    en: str
    ask: str = ""


WORDS: dict[str, Words] = {
    # ------------------------------------------------------------------------------------------------ one installation
    "gateway": Words("One installation: places, addresses, bounds. Relative paths count from this file's folder."),
    "gateway.bureau": Words("The bureau's name as it stands on its debit accounts; travels in every payment file."),
    "gateway.production": Words(
        "Real money: refuses the in-process bus, SQLite, unsealed banks and keys made by `sheyin pki dev`."
    ),
    "gateway.replica": Words("This process's name on leases, different for each replica; empty: the host's name."),
    "gateway.data_dir": Words("Folder of the embedded ledger and of the archive."),
    "gateway.archive_dir": Words("Folder of the archive of every document; empty: `archive` in data_dir."),
    "gateway.credentials_dir": Words(
        "Folder with one file per credential, the last place where secrets are looked for; empty: none."
    ),
    "gateway.ledger": Words(
        "The ledger's address without a password: `postgresql://user@host/name` or `sqlite:///file`; empty: SQLite in data_dir."
    ),
    "gateway.ledger_password": Words("Credential with the password of the ledger's user."),
    "gateway.bus": Words(
        "The broker's address without a password, `amqps://user@host/vhost`; `local:` keeps messages in this process (trials)."
    ),
    "gateway.bus_password": Words("Credential with the password of the broker's user."),
    "gateway.bus_management": Words(
        "Address of the broker's management API, `https://host:15671`, for checks and queue health; empty: not asked."
    ),
    "gateway.bus_ca": Words(
        "PEM file with the authority of the broker's certificate; empty: the system's authorities."
    ),
    "gateway.bus_certificate": Words("PEM file with our client certificate at the broker; empty: none."),
    "gateway.bus_key": Words("PEM file with that certificate's key; empty: it stands in the same file."),
    "gateway.incomplete_run_minutes": Words(
        "A run whose chunks are not all here after so many minutes is rejected, so that a lost chunk is heard of."
    ),
    "gateway.log_level": Words("The least serious log lines that are written: DEBUG, INFO, WARNING or ERROR."),
    # ------------------------------------------------------------------------------------------------ keys
    "atrest": Words("Which master key protects account and id numbers in the ledger, and the archive."),
    "atrest.key": Words(
        "Credential with the master key, 64 hexadecimal digits. Without it the archive cannot be read: keep a copy safe."
    ),
    "atrest.number": Words("The master key's number, 1 to 255; a new key gets a new number."),
    "atrest.older": Words("Master keys that were replaced and still open what they sealed."),
    "atrest.older.number": Words("The replaced key's number."),
    "atrest.older.key": Words("Credential with the replaced key."),
    "keys": Words("Keys of ours by name, `[keys.bureau-sign]`; one key has one purpose."),
    "keys.use": Words("`sign` what we send, or `decrypt` what partners encrypt to us."),
    "keys.file": Words(
        "The private key: PEM, or PKCS#12 (.p12, .pfx) with its certificate inside. Nobody else may read the file."
    ),
    "keys.certificate": Words("The key's certificate, PEM or DER; empty for PKCS#12."),
    "keys.engine": Words(
        "Instead of a file: the name of the `[engines.NAME]` that holds the key; `certificate` is a file here all the same."
    ),
    "keys.id": Words("What that engine calls the key; empty: by its name here."),
    "keys.password": Words("Credential with the file's password; empty: the file is not encrypted."),
    "pins": Words("Certificates of partners by name, `[pins.banka-sign]`: the only source of trust in what arrives."),
    "pins.use": Words("`verify` the partner's seals, or `encrypt` to the partner."),
    "pins.file": Words(
        "The certificate, PEM or DER, compared with the partner by its SHA-256 fingerprint over a second channel, by two people.",
        "请提供签名验签用的证书，并通过另一渠道核对 SHA-256 指纹。",
    ),
    "secrets": Words("Symmetric keys that we share with a partner, `[secrets.bankb-sm4]`: SM4, 16 bytes."),
    "secrets.credential": Words("Credential with the key, never the key itself.", "对称密钥如何约定与更换？"),
    "secrets.form": Words(
        "How the credential is written: `text`, 16 characters as they are, or `hex`, 32 hexadecimal digits."
    ),
    "engines.pkcs11": Words("A PKCS#11 device (RSA); needs the extra `pkcs11`."),
    "engines.pkcs11.module": Words("The vendor's library, a .so file."),
    "engines.pkcs11.token": Words("The label of the token that holds our keys."),
    "engines.pkcs11.pin": Words("Credential with the user's PIN. A wrong one is tried once and never again by itself."),
    "engines.pkcs11.deadline_s": Words("Seconds that one signature may take."),
    "engines.service": Words(
        "A signing service, usually in front of a signing server (签名验签服务器): docs/signing-service.md."
    ),
    "engines.service.address": Words("`https://host:port` of the service."),
    "engines.service.ca": Words("PEM file with the authority of its certificate, or the certificate itself."),
    "engines.service.certificate": Words("PEM file with our client certificate there."),
    "engines.service.key": Words("PEM file with that certificate's key."),
    "engines.service.deadline_s": Words("Seconds until the answer is there, connecting included."),
    # ------------------------------------------------------------------------------------------------ payers
    "payer": Words("One disbursement system that publishes instructions."),
    "payer.code": Words("Its code, 2 to 16 of A-Z and 0-9: `source` of its messages, and part of its queue's name."),
    "payer.name": Words("Its name for people."),
    # ------------------------------------------------------------------------------------------------ banks
    "bank": Words("One partner with its agreement."),
    "bank.code": Words(
        "Our short code for it, 2 to 16 of A-Z, 0-9 and _, as payers write it; never changed, never given to another."
    ),
    "bank.name": Words("Its name."),
    "bank.name_zh": Words("Its Chinese name."),
    "bank.adapter": Words("The format that it speaks; `sheyin banks` lists them."),
    "bank.wire": Words(
        "How documents travel: folder, sftp, amqp or https, as the format allows.",
        "文件交换方式？（共享目录、SFTP、消息队列）",
    ),
    "bank.customer": Words("Our customer number at the bank.", "我局在贵行的客户号？"),
    "bank.clearing_code": Words(
        "The bank's 12-digit clearing number, where the format wants it.", "贵行的大额支付行号（12 位）？"
    ),
    "bank.bin_prefixes": Words(
        "First digits of its cards: a card of another bank is noticed.", "社保卡金融账户的卡 BIN？"
    ),
    "bank.debit_accounts": Words("Benefit fund → our debit account (支出户) at this bank.", "各险种支出户账号？"),
    "bank.file_name": Words(
        "How our documents are called, of {customer} {date} {seq:04} {kind} {reference}; empty: the format's own names.",
        "文件命名规则？",
    ),
    "bank.sign_key": Words("Name of our key that seals what this bank gets."),
    "bank.pins": Words("Names of the certificates that may have sealed what it sends; two while it changes over."),
    "bank.sealed": Words("`false` only in a trial: documents are neither sealed nor asked for a seal."),
    "bank.calendar_extra_working": Words(
        "Days on which this bank works although the calendar says otherwise.", "法定调休之外是否另有营业日？"
    ),
    "bank.calendar_extra_closed": Words(
        "Days on which this bank is closed although the calendar says otherwise.", "年终决算等不受理业务的日期？"
    ),
    "bank.agreement": Words(
        "What the bank has promised in writing. The defaults are the careful reading, for a bank that has promised nothing."
    ),
    "bank.agreement.duplicate_key": Words(
        'What makes a document a repeat for the bank: "reference", "name", ...; empty: nothing does, and doubt takes two people.',
        "以什么判断文件重复（批次号、文件名）？",
    ),
    "bank.agreement.duplicate_window_days": Words(
        "For how many days the bank remembers; 0: not told.", "重复检查保留多少天？"
    ),
    "bank.agreement.duplicate_answer": Words(
        'What a repeat gets: "error", "overwrite", "first_result" or "no_dedupe".',
        "收到重复文件时如何处理（报错、覆盖、返回首次结果）？",
    ),
    "bank.agreement.not_found_window_minutes": Words(
        'Only this long after the last sending does the bank\'s "not found" mean that it has no such document.',
        "发送后多少分钟，贵行答复“查无此文件”才可视为最终？",
    ),
    "bank.agreement.inquiry_interval_minutes": Words(
        "The least time between two inquiries about one document.", "查询最短间隔（分钟）？"
    ),
    "bank.agreement.credited": Words(
        "Which status words mean that the payee's account is credited; accepted is not credited.",
        "哪些状态表示已入账（不是已受理）？",
    ),
    "bank.agreement.fail_final_minutes": Words(
        "Within this time a failure may still be corrected; a second payment waits for its end. 0: final at once.",
        "失败结果在多少分钟内仍可能更正？",
    ),
    "bank.agreement.partial_results": Words("Results may come in several files.", "结果文件是否可能分多次返回？"),
    "bank.agreement.reversal_notice": Words(
        "The bank tells of returns and reversals by itself.", "退汇、冲正是否主动通知？"
    ),
    "bank.agreement.refunds": Words(
        'Who brings failed money back to the fund account: "bank" or "bureau".', "失败款由谁退回支出户？"
    ),
    "bank.agreement.refund_days": Words("Working days after which failed money is back.", "失败款几个工作日退回？"),
    "bank.agreement.name_policy": Words(
        'What the bank does where its holder\'s name differs: "corrected" (its record is put right), "waive", or "substitute".',
        "户名不符时如何处理（更正户名、白名单放行、按登记户名入账）？",
    ),
    "bank.window": Words("When the bank takes documents, Beijing time."),
    "bank.window.opens": Words("From when on, HH:MM.", "每日几点开始受理？"),
    "bank.window.cut_off": Words(
        "Until when, HH:MM; 24:00 is the end of the day. What is later goes in the next window.", "当日截止受理时间？"
    ),
    "bank.window.every_day": Words(
        "`true`: on holidays too; otherwise on working days, make-up days included.", "节假日是否受理？"
    ),
    "bank.limits": Words(
        "What fits at this bank. What is not given is the format's own limit; larger ones are refused."
    ),
    "bank.limits.rows_max": Words("Payments in one document.", "单个文件最多多少笔？"),
    "bank.limits.payment_minor_max": Words("Fen of one payment.", "单笔金额上限？"),
    "bank.limits.document_minor_max": Words("Fen of one document.", "单个文件金额上限？"),
    "bank.limits.documents_per_day_max": Words("Documents in a day.", "每日最多多少个文件？"),
    "bank.limits.name_bytes_max": Words("Bytes of a name, in the format's charset.", "户名最长多少字节？"),
    "bank.limits.account_chars_max": Words("Characters of an account number.", "账号最长多少位？"),
    "bank.limits.purpose_bytes_max": Words("Bytes of the purpose, in the format's charset.", "用途最长多少字节？"),
    "bank.limits.document_bytes_max": Words("Bytes of a document, either way.", "文件大小上限？"),
    "bank.format_options": Words("What only this bank's format asks for: its README lists them.", "见各格式说明。"),
    "bank.wire_options": Words("The wire's address and ways; a value `file:PATH` stands for that file's text."),
    "bank.wire_options.root": Words(
        "folder: the shared folder (required); sftp: a folder below the login's; in it lie in/ and out/.", "目录？"
    ),
    "bank.wire_options.complete": Words(
        'folder, sftp: "rename" if the bank renames whole files into place, else "stable": a file counts once it stops changing.',
        "文件写完后是否改名（.tmp 改为正式名）？",
    ),
    "bank.wire_options.stable_s": Words("folder, sftp: seconds between the two looks that must agree."),
    "bank.wire_options.done": Words(
        'folder, sftp: what becomes of a file that is archived with us: "move" it into done/, "delete" it, or "leave" it.',
        "取走的文件可否移动或删除？",
    ),
    "bank.wire_options.host": Words("sftp: the server's name or address.", "SFTP 地址？"),
    "bank.wire_options.port": Words("sftp: its port.", "SFTP 端口？"),
    "bank.wire_options.user": Words("sftp: our user there.", "SFTP 用户名？"),
    "bank.wire_options.host_key": Words(
        "sftp: the server's public key, one `ssh-… …` line, two during a change-over; compared over a second channel.",
        "SFTP 主机公钥及其指纹？",
    ),
    "bank.wire_options.client_key": Words("sftp, https: credential with our private key there."),
    "bank.wire_options.password": Words("sftp: credential with our password there, if the bank takes no keys."),
    "bank.wire_options.deadline_s": Words(
        "sftp: seconds that one operation may take (30); https: seconds until the whole reply is there (60)."
    ),
    "bank.wire_options.bytes_per_s_min": Words(
        "sftp: a transfer may take so much longer as its size needs at this rate."
    ),
    "bank.wire_options.idle_s_max": Words("sftp: after so many idle seconds a kept connection is made anew."),
    "bank.wire_options.url": Words("https: the address that every command is sent to.", "服务地址（URL）？"),
    "bank.wire_options.ca": Words(
        "https: certificate of the authority, or of the bank itself, in PEM (`file:PATH`); empty: the system's.",
        "服务端证书由谁签发？",
    ),
    "bank.wire_options.pin": Words(
        "https: SHA-256 of the server's public key in base64, two with a blank between during a change-over; empty: any key.",
        "服务端公钥指纹？",
    ),
    "bank.wire_options.client_certificate": Words("https: credential with our client certificate (PEM)."),
    "bank.wire_options.plain": Words(
        "https: `true` speaks HTTP without TLS, only to the bank's front-end machine in our own network.",
        "前置机是否只支持 HTTP？",
    ),
    "bank.wire_options.reply_bytes_max": Words("https: a reply larger than this is not taken."),
    "bank.wire_options.directory": Words(
        "https: a folder for files that the bank's client takes and gives beside its commands.", "前置机的文件目录？"
    ),
}
