import { keepsContract } from "./contract.ts";
import { LORA_CASES } from "./contract-cases.ts";

keepsContract(LORA_CASES);
