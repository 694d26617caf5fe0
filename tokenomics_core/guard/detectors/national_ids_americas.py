"""National numbers of persons in the Americas."""

from __future__ import annotations

from tokenomics_core.guard.detector import Shape
from tokenomics_core.guard.detectors._checks import stdnum
from tokenomics_core.guard.detectors._national import ALONE, checked, national_id

DETECTORS = (
    national_id(
        "us_itin",
        "US ITIN",
        (
            Shape(r"\b9\d{2}-(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])-\d{4}\b", score=0.6),
            Shape(r"\b9\d{2} ?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9]) ?\d{4}\b", score=0.2),
        ),
        near=("itin", "taxpayer identification", "individual taxpayer", "tax id", "tin"),
        found=("ITIN «912-90-3456»", "«912-70-1234»", "itin: «912903456»"),
        clean=("912-93-4567", "912903456", "123-45-6789"),
    ),
    national_id(
        "ca_sin",
        "Canadian SIN",
        (
            checked(r"\b[1-79]\d{2}[ -]\d{3}[ -]\d{3}\b", "ca.sin", 0.4),
            checked(r"\b[1-79]\d{8}\b", "ca.sin", ALONE),
        ),
        near=("sin", "social insurance", "social insurance number", "nas", "assurance sociale"),
        found=("SIN «744-555-061»", "social insurance number: «375 560 604»", "NAS «692444128»"),
        clean=("744-555-061", "SIN 744-555-062", "692444128"),
    ),
    national_id(
        "br_cpf",
        "Brazilian CPF",
        (
            checked(r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", "br.cpf", 0.9),
            checked(r"\b\d{9}-\d{2}\b", "br.cpf", 0.5),
            checked(r"\b\d{11}\b", "br.cpf", ALONE),
        ),
        near=("cpf", "cadastro de pessoa", "contribuinte"),
        found=("«820.131.365-87»", "CPF «78441733279»", "cpf: «736145665-01»"),
        clean=("820.131.365-88", "78441733279", "CPF 12345678901"),
    ),
    national_id(
        "br_cnpj",
        "Brazilian CNPJ",
        (
            checked(r"\b\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}\b", "br.cnpj", 0.9),
            checked(r"\b\d{14}\b", "br.cnpj", ALONE),
        ),
        near=("cnpj", "cadastro nacional"),
        found=("«36.618.701/0001-36»", "CNPJ «41892382000192»", "cnpj: «44.481.370/0001-63»"),
        clean=("36.618.701/0001-37", "41892382000192", "20240131123456"),
    ),
    national_id(
        "mx_curp",
        "Mexican CURP",
        (
            Shape(
                r"\b[A-Z][AEIOUX][A-Z]{2}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}"
                r"[A-Z\d]\d\b",
                check=stdnum("mx.curp"),
                valid=0.95,
                invalid=0.5,
            ),
        ),
        near=("curp", "clave única", "registro de población"),
        found=("«BOXW310820HNERXN09»", "CURP: «GARM850312MDFRRN08»", "«LOPJ900704HJCPRN05» es"),
        clean=("BOXW311320HNERXN09", "BOXW310820HNERXN0", "order BOXW310820HNERXN08"),
    ),
    national_id(
        "ar_cuit",
        "Argentine CUIT",
        (
            checked(r"\b(?:2[0-7]|3[034])-\d{8}-\d\b", "ar.cuit", 0.8),
            checked(r"\b(?:2[0-7]|3[034])\d{9}\b", "ar.cuit", ALONE),
        ),
        near=("cuit", "cuil"),
        found=("«20-21987465-1»", "CUIL «20225320250»", "cuit: «20-14657526-9»"),
        clean=("20-21987465-2", "20225320250", "20-2024-1"),
    ),
    national_id(
        "cl_rut",
        "Chilean RUT",
        (
            checked(r"\b\d{1,2}\.\d{3}\.\d{3}-[\dkK]\b", "cl.rut", 0.85),
            checked(r"\b\d{7,8}-[\dkK]\b", "cl.rut", 0.35),
        ),
        near=("rut", "run", "rol único"),
        found=("«24.186.536-3»", "RUT «25293709-9»", "rut: «68.394.244-8»"),
        clean=("24.186.536-4", "25293709-9", "1.234.567-x"),
    ),
)
