package peer;

import java.util.ArrayList;
import java.util.List;
import org.openmuc.jdlms.AccessResultCode;
import org.openmuc.jdlms.AttributeAccessMode;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.CosemAttribute;
import org.openmuc.jdlms.CosemClass;
import org.openmuc.jdlms.CosemInterfaceObject;
import org.openmuc.jdlms.DlmsServer;
import org.openmuc.jdlms.IllegalAttributeAccessException;
import org.openmuc.jdlms.LogicalDevice;
import org.openmuc.jdlms.ObisCode;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.SelectiveAccessDescription;
import org.openmuc.jdlms.datatypes.CosemDateTime;
import org.openmuc.jdlms.datatypes.CosemDateTime.ClockStatus;
import org.openmuc.jdlms.datatypes.DataObject;
import org.openmuc.jdlms.datatypes.DataObject.Type;
import org.openmuc.jdlms.sessionlayer.server.ServerSessionLayerFactories;

/**
 * A meter on the TCP port given as the only argument, with the wrapper; it prints "ready" when it listens and ends with its input.
 *
 * <p>Client 16 associates without authentication, client 1 with the password "Passw0rd". Client 2 associates with
 * HLS-GMAC, authenticated and encrypted, client 3 with HLS-GMAC and no ciphering: keys EK 00..0F and AK D0..DF in logical device 1,
 * EK 10..1F and AK C0..CF in logical device 2, which has these two clients alone. The load profile holds 2022-11-11, a
 * Friday in UTC+1: 96 rows of 15 minutes, first end 00:15, with clock, status (1 at row 40, else 0), import = 1,000,000 + 250 i
 * and export = 7 i, both Wh with scaler -1 (import) and 0 (export), i from 0.
 */
public final class Meter {
  private static final String CLOCK = "0.0.1.0.0.255";
  private static final String STATUS = "0.0.96.10.2.255";
  private static final String IMPORT = "1.0.1.8.0.255";
  private static final String EXPORT = "1.0.2.8.0.255";
  private static final int WATT_HOURS = 30;

  private Meter() {}

  public static void main(String[] args) throws Exception {
    LogicalDevice device = device(1, key(0x00), key(0xD0));
    device.addRestriction(16, suite(AuthenticationMechanism.NONE, null));
    device.addRestriction(1, suite(AuthenticationMechanism.LOW, "Passw0rd"));
    DlmsServer server =
        DlmsServer.tcpServerBuilder(Integer.parseInt(args[0]))
            .setSessionLayerFactory(ServerSessionLayerFactories.newWrapperSessionLayerFactory())
            .registerLogicalDevice(device, device(2, key(0x10), key(0xC0)))
            .build();
    System.out.println("ready");
    while (System.in.read() >= 0) {
      // until the test closes its end
    }
    server.close();
    System.exit(0);
  }

  private static LogicalDevice device(int id, byte[] ek, byte[] ak) {
    LogicalDevice device = new LogicalDevice(id, "HES000000000000" + id, "HES", id).setMasterKey(key(0x40));
    device.addRestriction(2, gmac(EncryptionMechanism.AES_GCM_128, SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED, ek, ak));
    device.addRestriction(3, gmac(EncryptionMechanism.NONE, SecurityPolicy.NOTHING, ek, ak));
    device.registerCosemObject(
        new Clock(), new Data("0.0.96.1.0.255"), new Register(IMPORT, 123456789L, -1), new Register(EXPORT, 42L, 0),
        new Sealed("1.0.3.8.0.255"), new Profile("1.0.99.1.0.255"));
    return device;
  }

  /** Sixteen octets that count up. */
  private static byte[] key(int first) {
    byte[] key = new byte[16];
    for (int i = 0; i < key.length; i++) {
      key[i] = (byte) (first + i);
    }
    return key;
  }

  private static SecuritySuite gmac(EncryptionMechanism encryption, SecurityPolicy policy, byte[] ek, byte[] ak) {
    return SecuritySuite.builder()
        .setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC)
        .setEncryptionMechanism(encryption)
        .setSecurityPolicy(policy)
        .setGlobalUnicastEncryptionKey(ek)
        .setAuthenticationKey(ak)
        .build();
  }

  private static SecuritySuite suite(AuthenticationMechanism mechanism, String password) {
    SecuritySuite.SecuritySuiteBuilder builder =
        SecuritySuite.builder()
            .setAuthenticationMechanism(mechanism)
            .setEncryptionMechanism(EncryptionMechanism.NONE)
            .setSecurityPolicy(SecurityPolicy.NOTHING);
    return (password == null ? builder : builder.setPassword(password.getBytes())).build();
  }

  private static DataObject scalerUnit(int scaler) {
    return DataObject.newStructureData(
        DataObject.newInteger8Data((byte) scaler), DataObject.newEnumerateData(WATT_HOURS));
  }

  @CosemClass(id = 8, version = 0)
  public static final class Clock extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject time =
        DataObject.newOctetStringData(
            new CosemDateTime(2022, 7, 12, 2, 16, 54, 30, 0, -120, ClockStatus.DAYLIGHT_SAVING_ACTIVE).encode());

    public Clock() {
      super(CLOCK);
    }
  }

  @CosemClass(id = 1, version = 0)
  public static final class Data extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject value = DataObject.newOctetStringData("HES00000042".getBytes());

    public Data(String name) {
      super(name);
    }
  }

  @CosemClass(id = 3, version = 0)
  public static final class Register extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject value;

    @CosemAttribute(id = 3, type = Type.STRUCTURE, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject unit;

    public Register(String name, long value, int scaler) {
      super(name);
      this.value = DataObject.newUInteger32Data(value);
      this.unit = scalerUnit(scaler);
    }
  }

  /** A register that nobody may read. */
  @CosemClass(id = 3, version = 0)
  public static final class Sealed extends CosemInterfaceObject {
    @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.WRITE_ONLY)
    private DataObject value = DataObject.newUInteger32Data(0);

    public Sealed(String name) {
      super(name);
    }

    public void setValue(DataObject value) {
      this.value = value;
    }
  }

  @CosemClass(id = 7, version = 1)
  public static final class Profile extends CosemInterfaceObject {
    private static final int ROWS = 96;

    @CosemAttribute(id = 2, type = Type.ARRAY, accessMode = AttributeAccessMode.READ_ONLY, selector = {1, 2})
    private DataObject buffer;

    @CosemAttribute(id = 3, type = Type.ARRAY, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject captureObjects =
        DataObject.newArrayData(List.of(captured(8, CLOCK), captured(1, STATUS), captured(3, IMPORT), captured(3, EXPORT)));

    @CosemAttribute(id = 4, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject capturePeriod = DataObject.newUInteger32Data(900);

    @CosemAttribute(id = 5, type = Type.ENUMERATE, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject sortMethod = DataObject.newEnumerateData(1);

    @CosemAttribute(id = 7, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY)
    private final DataObject entriesInUse = DataObject.newUInteger32Data(ROWS);

    public Profile(String name) {
      super(name);
    }

    public DataObject getBuffer(SelectiveAccessDescription selection) throws IllegalAttributeAccessException {
      int first = 0;
      int last = ROWS - 1;
      if (selection != null) {
        List<DataObject> limits = selection.getAccessParameter().getValue();
        if (selection.getAccessSelector() == 1) {
          first = Math.max(first, (quarters(limits.get(1)) + 899) / 900 - 1);
          last = Math.min(last, quarters(limits.get(2)) / 900 - 1);
        } else {
          first = ((Number) limits.get(0).getValue()).intValue() - 1;
          int end = ((Number) limits.get(1).getValue()).intValue();
          last = end == 0 ? last : Math.min(last, end - 1);
        }
      }
      List<DataObject> rows = new ArrayList<>();
      for (int i = first; i <= last; i++) {
        rows.add(row(i));
      }
      return DataObject.newArrayData(rows);
    }

    /** Seconds since the profile's midnight of a date-time of twelve octets in UTC+1. */
    private static int quarters(DataObject limit) throws IllegalAttributeAccessException {
      byte[] octets = limit.getValue();
      if (octets.length != 12 || (octets[9] & 0xFF) != 0xFF || (octets[10] & 0xFF) != 0xC4) {
        throw new IllegalAttributeAccessException(AccessResultCode.TYPE_UNMATCHED);
      }
      int day = (octets[3] - 11) + 31 * (octets[2] - 11);
      return day * 86400 + octets[5] * 3600 + octets[6] * 60 + octets[7];
    }

    private static DataObject row(int i) {
      int minutes = (i + 1) * 15;
      byte[] time =
          new CosemDateTime(2022, 11, 11 + minutes / 1440, minutes < 1440 ? 5 : 6, minutes / 60 % 24, minutes % 60, 0, 0, -60).encode();
      return DataObject.newStructureData(
          DataObject.newOctetStringData(time),
          DataObject.newUInteger8Data((short) (i == 40 ? 1 : 0)),
          DataObject.newUInteger32Data(1_000_000L + 250L * i),
          DataObject.newUInteger32Data(7L * i));
    }

    private static DataObject captured(int classId, String name) {
      return DataObject.newStructureData(
          DataObject.newUInteger16Data(classId),
          DataObject.newOctetStringData(new ObisCode(name).bytes()),
          DataObject.newInteger8Data((byte) 2),
          DataObject.newUInteger16Data(0));
    }
  }
}
